// @ts-nocheck
import type { JsonObject } from "../../../formats/json/json.ts";
import { defineCommand } from "../../command.ts";
import { ADMIN_OPTION, askServer } from "../../operator-client.ts";
import { changedName, hintUnrecorded } from "./governed.ts";
import { policyCell } from "./list.ts";
import { type PolicyWord, parseTerms, TERMS_OPTIONS } from "./terms.ts";

const DONE: Readonly<Record<PolicyWord, (name: string) => string>> = {
  always: (name) => `${name} is released whenever it asks.`,
  alive: (name) =>
    `${name} is released as long as it is heard. Gone for longer, it is locked until a person unlocks it.`,
  lease: (name) =>
    `${name} is released within a lease alone: one that it announces itself, or nightlatch machine lease ${name} 15m.`,
  approval: (name) => `${name} is released once operators approve, each time that it asks: nightlatch request list.`,
  inherit: (name) => `${name} is released as its group says, or else as new machines are`,
};

export const command = defineCommand({
  name: "machine policy",
  summary: "what must hold for a machine to be released",
  operands: "NAME always|alive|lease|approval|inherit",
  minOperands: 2,
  maxOperands: 2,
  options: { ...TERMS_OPTIONS, admin: ADMIN_OPTION },
  details: `always: whenever it asks, as long as it is not locked.
alive: as long as its heartbeats come. Gone for longer than --timeout, it is locked until nightlatch machine unlock,
also across restarts of the server. A release gives it 15 minutes to boot in, once. The machine must be sending already:
systemctl enable --now nightlatch-heartbeat.
lease: within a window alone, in which each of its latches is released once. The running machine opens one by itself when
nightlatch reboot takes it down; an operator opens one with nightlatch machine lease. Without one, as after a power cut,
its passphrase opens it.
approval: whenever it asks and operators approve (nightlatch request). It waits meanwhile, and asks again by itself; its
passphrase opens it too.
inherit: what nightlatch group policy says of its group, or else of new machines. What is said here comes before both.
--from, --per-day and --hours hold under any policy, and stay as they are where they are left off. With --per-day whoever
knows a latch's address can use up what its machine has, within --from.
A change takes effect before the command returns, and ends a window that is open. What releases more than before is root's: always; alive in place of lease or approval, or with a longer timeout; fewer
operators; wider limits.`,
  async run({ operands, options, system, terminal }) {
    const [name = "", policy = ""] = operands;
    const { word, body } = parseTerms(policy, options);
    const answer = await askServer(system, options.admin, "POST", ["machines", name, "policy"], body);
    const known = changedName(answer);
    const now = word === "inherit" ? `: ${policyCell(answer["machine"] as JsonObject)}.` : "";
    if (answer["changed"] === true) terminal.line(`${DONE[word](known)}${now}`);
    else
      terminal.line(
        word === "inherit"
          ? `${known} inherited its policy already${now}`
          : `The policy of ${known} was ${word} already.`,
      );
    hintUnrecorded(terminal, answer);
    terminal.result({ ok: true, ...answer });
    return 0;
  },
});
