// @ts-nocheck
import { parseDuration } from "../../../core/duration.ts";
import { NightlatchError } from "../../../core/errors.ts";
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

/** Says so where keys that were destroyed may still be read from the server's disk. */
export function hintUndestroyed(terminal: Pick<Terminal, "hint">, answer: JsonObject): void {
  if (answer["destroyed"] === false) {
    terminal.hint(
      "The keys are deleted and nothing is released, but what wraps them could not be overwritten: the server's disk fails (dmesg). " +
        "Until the server has done so, which it tries again every half minute, whoever takes that disk may still open them.",
    );
  } else if (answer["scrubbed"] === false) {
    terminal.hint(
      "The keys are destroyed. Bytes that were wrapped, and open nothing now, may still lie in the store's files: something is " +
        "reading them (a backup?), or the disk has no room for a second copy of the store. The server overwrites them when that is over.",
    );
  }
}

/**
 * Reads an operand or an option that is a time, in milliseconds.
 * @throws NightlatchError usage/wrong
 */
export function parseTime(text: string): number {
  const ms = parseDuration(text, ["s", "m", "h", "d"]);
  if (ms !== null) return ms;
  throw new NightlatchError("usage/wrong", `${text} is not a time`, {
    remedy: "Give a number and a unit: s, m, h or d, such as 15m.",
  });
}
