import type { JsonObject } from "../../../formats/json/json.ts";
import type { Terminal } from "../../command.ts";

/** What the server calls the machine that it has changed. */
export function changedName(answer: JsonObject): string {
  return String((answer["machine"] as JsonObject)["name"]);
}

/** Says so where a change is not noted beside the data folder. */
export function hintUnrecorded(terminal: Pick<Terminal, "hint">, answer: JsonObject): void {
  if (answer["recorded"] !== false) return;
  terminal.hint(
    "The change holds, but it could not be noted beside the data folder: an older copy of the store, put back, would not be " +
      "found out as one. Make room there, and repeat the command.",
  );
}
