import { parseDuration } from "../../../core/duration.ts";
import { NightlatchError } from "../../../core/errors.ts";
import type { JsonObject } from "../../../formats/json/json.ts";
import { defineCommand } from "../../command.ts";
import { ADMIN_OPTION, askServer } from "../../operator-client.ts";
import { changedName, hintUnrecorded } from "./governed.ts";

const DONE: Readonly<Record<string, (name: string) => string>> = {
  always: (name) => `${name} is released whenever it asks.`,
  alive: (name) =>
    `${name} is released as long as it is heard. Gone for longer, it is locked until a person unlocks it.`,
  lease: (name) =>
    `${name} is released within a lease alone: one that it announces itself, or nightlatch machine lease ${name} 15m.`,
  approval: (name) => `${name} is released once operators approve, each time that it asks: nightlatch request list.`,
};

export const command = defineCommand({
  name: "machine policy",
  summary: "what must hold for a machine to be released",
  operands: "NAME always|alive|lease|approval",
  minOperands: 2,
  maxOperands: 2,
  options: {
    of: { value: "N", help: "of approval: so many different operators must approve (default: 1)" },
    timeout: {
      value: "TIME",
      help: "of alive: for how long it may be silent (default: 5m); of approval: how long a request waits (default: 1h)",
    },
    from: { value: "NET,...", help: "release to these networks alone; any: to all" },
    "per-day": { value: "N", help: "release each latch at most so often in 24 hours; any: however often" },
    hours: {
      value: "HH:MM-HH:MM",
      help: "release at this time of day alone, by the server's clock; any: at all times",
    },
    admin: ADMIN_OPTION,
  },
  details: `always: whenever it asks, as long as it is not locked.
alive: as long as its heartbeats come. Gone for longer than --timeout, it is locked until nightlatch machine unlock,
also across restarts of the server. A release gives it 15 minutes to boot in, once. The machine must be sending already:
systemctl enable --now nightlatch-heartbeat.
lease: within a window alone, in which each of its latches is released once. The running machine opens one by itself when
nightlatch reboot takes it down; an operator opens one with nightlatch machine lease. Without one, as after a power cut,
its passphrase opens it.
approval: whenever it asks and operators approve (nightlatch request). It waits meanwhile, and asks again by itself; its
passphrase opens it too.
--from, --per-day and --hours hold under any policy, and stay as they are where they are left off. With --per-day whoever
knows a latch's address can use up what its machine has, within --from.
A change takes effect before the command returns, and ends a window that is open. What releases more than before is root's: always; alive in place of lease or approval, or with a longer timeout; fewer
operators; wider limits.`,
  async run({ operands, options, system, terminal }) {
    const [name = "", policy = ""] = operands;
    const done = Object.hasOwn(DONE, policy) ? DONE[policy] : undefined;
    if (done === undefined) {
      throw new NightlatchError("usage/wrong", `there is no policy ${JSON.stringify(policy)}`, {
        remedy: "Say always, alive, lease, or approval.",
      });
    }
    const terms = { ...termsOf(policy, options), ...limitsOf(options) };
    const answer = await askServer(system, options.admin, "POST", ["machines", name, "policy"], { policy, ...terms });
    const changed = answer["changed"] === true;
    terminal.line(changed ? done(changedName(answer)) : `The policy of ${changedName(answer)} was ${policy} already.`);
    hintUnrecorded(terminal, answer);
    terminal.result({ ok: true, ...answer });
    return 0;
  },
});

/** What the policy asks for, as the server takes it. @throws NightlatchError usage/wrong */
function termsOf(
  policy: string,
  { of, timeout }: { readonly of: string | undefined; readonly timeout: string | undefined },
): JsonObject {
  const [given] = [
    of === undefined || policy === "approval" ? [] : ["--of"],
    timeout === undefined || policy === "approval" || policy === "alive" ? [] : ["--timeout"],
  ].flat();
  if (given !== undefined) {
    throw new NightlatchError("usage/wrong", `${given} says nothing of the policy ${policy}`, {
      remedy: "Leave it off.",
    });
  }
  const said = timeout ?? (policy === "alive" ? "5m" : undefined);
  const timeoutMs = said === undefined ? undefined : parseDuration(said, ["s", "m", "h", "d"]);
  if (timeoutMs === null || (of !== undefined && !/^\d{1,2}$/.test(of))) {
    throw new NightlatchError("usage/wrong", "--of or --timeout is not what it should be", {
      remedy: "Give a number of operators, and a time with its unit, such as --of 2 --timeout 1h.",
    });
  }
  return { ...(of === undefined ? {} : { of: Number(of) }), ...(timeoutMs === undefined ? {} : { timeoutMs }) };
}

/** What bounds releases, as the server takes it. */
function limitsOf({
  from,
  "per-day": perDay,
  hours,
}: Readonly<Record<"from" | "per-day" | "hours", string | undefined>>): JsonObject {
  return {
    ...(from === undefined ? {} : { from }),
    ...(perDay === undefined ? {} : { perDay }),
    ...(hours === undefined ? {} : { hours }),
  };
}
