// @ts-nocheck
import { defineCommand } from "../../command.ts";
import { STATE_OPTION } from "../../volume/input.ts";
import { cancel } from "../reboot/cancel.ts";

export const command = defineCommand({
  name: "oneshot disarm",
  summary: "take back what is armed or staged: the entry, the keys, their keyslots",
  maxOperands: 0,
  options: { state: STATE_OPTION },
  details: "The same as nightlatch reboot --cancel. Finds what is left of a run that was cut off, too.",
  run: (input) => cancel(input, "all"),
});
