// @ts-nocheck
import { defineCommand } from "../../command.ts";
import { ADMIN_OPTION } from "../../operator-client.ts";
import { moveEach } from "./move.ts";

export const command = defineCommand({
  name: "group join",
  summary: "put machines into a group",
  operands: "NAME MACHINE...",
  minOperands: 2,
  maxOperands: 1001,
  options: { admin: ADMIN_OPTION },
  details: `A machine is in one group at most: it leaves the one that it was in. What is said of the group holds for it from then on,
unless something was said of the machine itself (nightlatch machine policy).`,
  run: ({ operands: [group = "", ...machines], ...input }) => moveEach(machines, group, input),
});
