// @ts-nocheck
import { defineCommand } from "../../command.ts";
import { ADMIN_OPTION } from "../../operator-client.ts";
import { moveEach } from "./move.ts";

export const command = defineCommand({
  name: "group leave",
  summary: "take machines out of their group",
  operands: "MACHINE...",
  minOperands: 1,
  maxOperands: 1000,
  options: { admin: ADMIN_OPTION },
  details: "A machine that had its policy from its group gets what new machines do. Others stay as they are.",
  run: ({ operands, ...input }) => moveEach(operands, null, input),
});
