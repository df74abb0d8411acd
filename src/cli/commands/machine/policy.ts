import { NightlatchError } from "../../../core/errors.ts";
import { defineCommand } from "../../command.ts";
import { ADMIN_OPTION, askServer } from "../../operator-client.ts";
import { changedName, hintUnrecorded } from "./governed.ts";

const DONE: Readonly<Record<string, (name: string) => string>> = {
  always: (name) => `${name} is released whenever it asks.`,
  lease: (name) =>
    `${name} is released within a lease alone: one that it announces itself, or nightlatch machine lease ${name} 15m.`,
};

export const command = defineCommand({
  name: "machine policy",
  summary: "what must hold for a machine to be released",
  operands: "NAME always|lease",
  minOperands: 2,
  maxOperands: 2,
  options: { admin: ADMIN_OPTION },
  details: `always: whenever it asks, as long as it is not locked.
lease: within a window alone, in which each of its latches is released once. The running machine opens one by itself when
nightlatch reboot takes it down; an operator opens one with nightlatch machine lease. Without one, as after a power cut,
its passphrase opens it. Takes effect before the command returns, and ends a window that is open.
Going back to always is root's.`,
  async run({ operands, options, system, terminal }) {
    const [name = "", policy = ""] = operands;
    const done = Object.hasOwn(DONE, policy) ? DONE[policy] : undefined;
    if (done === undefined) {
      throw new NightlatchError("usage/wrong", `there is no policy ${JSON.stringify(policy)}`, {
        remedy: "Say always, or lease.",
      });
    }
    const answer = await askServer(system, options.admin, "POST", ["machines", name, "policy"], { policy });
    const changed = answer["changed"] === true;
    terminal.line(changed ? done(changedName(answer)) : `The policy of ${changedName(answer)} was ${policy} already.`);
    hintUnrecorded(terminal, answer);
    terminal.result({ ok: true, ...answer });
    return 0;
  },
});
