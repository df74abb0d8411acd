import { NightlatchError } from "../../../core/errors.ts";
import { defineCommand } from "../../command.ts";
import { ADMIN_OPTION, askServer } from "../../operator-client.ts";
import { changedName, hintUnrecorded, parseTime } from "./governed.ts";

const DONE: Readonly<Record<string, (name: string) => string>> = {
  always: (name) => `${name} is released whenever it asks.`,
  alive: (name) =>
    `${name} is released as long as it is heard. Gone for longer, it is locked until a person unlocks it.`,
  lease: (name) =>
    `${name} is released within a lease alone: one that it announces itself, or nightlatch machine lease ${name} 15m.`,
};

export const command = defineCommand({
  name: "machine policy",
  summary: "what must hold for a machine to be released",
  operands: "NAME always|alive|lease",
  minOperands: 2,
  maxOperands: 2,
  options: {
    timeout: { value: "TIME", help: "with alive: for how long it may be silent, 5s to 1d (default: 5m)" },
    admin: ADMIN_OPTION,
  },
  details: `always: whenever it asks, as long as it is not locked.
alive: as long as its heartbeats come. Gone for longer than --timeout, it is locked until nightlatch machine unlock,
also across restarts of the server. A release gives it 15 minutes to boot in, once. The machine must be sending already:
systemctl enable --now nightlatch-heartbeat.
lease: within a window alone, in which each of its latches is released once. The running machine opens one by itself when
nightlatch reboot takes it down; an operator opens one with nightlatch machine lease. Without one, as after a power cut,
its passphrase opens it. Takes effect before the command returns, and ends a window that is open.
What releases more than before (always; alive in place of lease; a longer timeout) is root's.`,
  async run({ operands, options, system, terminal }) {
    const [name = "", policy = ""] = operands;
    const done = Object.hasOwn(DONE, policy) ? DONE[policy] : undefined;
    if (done === undefined) {
      throw new NightlatchError("usage/wrong", `there is no policy ${JSON.stringify(policy)}`, {
        remedy: "Say always, alive, or lease.",
      });
    }
    if (policy !== "alive" && options.timeout !== undefined) {
      throw new NightlatchError("usage/wrong", `--timeout means nothing with the policy ${policy}`, {
        remedy: "Leave it off, or say alive.",
      });
    }
    const timeout = policy === "alive" ? { timeoutMs: parseTime(options.timeout ?? "5m") } : {};
    const answer = await askServer(system, options.admin, "POST", ["machines", name, "policy"], { policy, ...timeout });
    const changed = answer["changed"] === true;
    terminal.line(changed ? done(changedName(answer)) : `The policy of ${changedName(answer)} was ${policy} already.`);
    hintUnrecorded(terminal, answer);
    terminal.result({ ok: true, ...answer });
    return 0;
  },
});
