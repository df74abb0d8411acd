import { parseDuration } from "../../../core/duration.ts";
import { NightlatchError } from "../../../core/errors.ts";
import type { JsonObject } from "../../../formats/json/json.ts";
import { defineCommand } from "../../command.ts";
import { ADMIN_OPTION, askServer } from "../../operator-client.ts";
import { changedName, hintUnrecorded } from "./governed.ts";

const DONE: Readonly<Record<string, (name: string) => string>> = {
  always: (name) => `${name} is released whenever it asks.`,
  lease: (name) =>
    `${name} is released within a lease alone: one that it announces itself, or nightlatch machine lease ${name} 15m.`,
  approval: (name) => `${name} is released once operators approve, each time that it asks: nightlatch request list.`,
};

export const command = defineCommand({
  name: "machine policy",
  summary: "what must hold for a machine to be released",
  operands: "NAME always|lease|approval",
  minOperands: 2,
  maxOperands: 2,
  options: {
    of: { value: "N", help: "of approval: so many different operators must approve (default: 1)" },
    timeout: { value: "TIME", help: "of approval: how long a request waits for them (default: 1h)" },
    from: { value: "NET,...", help: "release to these networks alone; any: to all" },
    "per-day": { value: "N", help: "release each latch at most so often in 24 hours; any: however often" },
    hours: {
      value: "HH:MM-HH:MM",
      help: "release at this time of day alone, by the server's clock; any: at all times",
    },
    admin: ADMIN_OPTION,
  },
  details: `always: whenever it asks, as long as it is not locked.
lease: within a window alone, in which each of its latches is released once. The running machine opens one by itself when
nightlatch reboot takes it down; an operator opens one with nightlatch machine lease. Without one, as after a power cut,
its passphrase opens it.
approval: whenever it asks and operators approve (nightlatch request). It waits meanwhile, and asks again by itself; its
passphrase opens it too. --from, --per-day and --hours hold under any policy, and stay as they are where they are left off. With --per-day whoever knows
a latch's address can use up what its machine has, within --from. Takes effect before the command returns, and ends a window that is open.
Going back to always, fewer operators than before and wider limits are root's.`,
  async run({ operands, options, system, terminal }) {
    const [name = "", policy = ""] = operands;
    const done = Object.hasOwn(DONE, policy) ? DONE[policy] : undefined;
    if (done === undefined) {
      throw new NightlatchError("usage/wrong", `there is no policy ${JSON.stringify(policy)}`, {
        remedy: "Say always, lease, or approval.",
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
  const [given] = [of === undefined ? [] : ["--of"], timeout === undefined ? [] : ["--timeout"]].flat();
  if (given !== undefined && policy !== "approval") {
    throw new NightlatchError("usage/wrong", `${given} says nothing of the policy ${policy}`, {
      remedy: "Leave it off.",
    });
  }
  const timeoutMs = timeout === undefined ? undefined : parseDuration(timeout, ["s", "m", "h", "d"]);
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
