// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";
import { formatMark, type OneshotMark, parseMark } from "../own/oneshot-mark.ts";

const BEGIN = "### BEGIN nightlatch-oneshot; taken out again by: nightlatch oneshot disarm ###";
const END = "### END nightlatch-oneshot ###";

/**
 * How the file ended before, which it ends with again: without a file, without a newline at its
 * end, or with one.
 */
type Before = "no file" | "no newline" | "newline";

/**
 * Puts our part behind what the administrator has in custom.cfg, of which no byte changes.
 * @param custom null where there is no file; it holds no part of ours
 * @param text statements, ending in a newline
 */
export function addToCustom(custom: Uint8Array | null, mark: OneshotMark, text: string): Buffer {
  const before: Before = custom === null ? "no file" : needsNewline(custom) ? "no newline" : "newline";
  const part = [BEGIN, `# before: ${before}`, `# ${formatMark(mark)}`, `${text}${END}`, ""].join("\n");
  return Buffer.concat([custom ?? new Uint8Array(), Buffer.from(before === "no newline" ? `\n${part}` : part)]);
}

const needsNewline = (bytes: Uint8Array): boolean => bytes.length > 0 && bytes.at(-1) !== 0x0a;

/** Our part of a custom.cfg, and the rest of the file. */
export interface CustomPart {
  /**
   * Null where it cannot be understood: it is ours all the same, for it stands between our lines.
   */
  readonly mark: OneshotMark | null;
  /** The file without it, byte for byte as it was; null where there was none. */
  readonly rest: Buffer | null;
}

/**
 * Finds our part of custom.cfg. Null where there is none. What the administrator has written before
 * or behind it in the meantime stays.
 * @throws NightlatchError oneshot/malformed where it begins and does not end
 */
export function findInCustom(custom: Uint8Array): CustomPart | null {
  const bytes = Buffer.from(custom.buffer, custom.byteOffset, custom.byteLength);
  const start = lineAt(bytes, BEGIN, 0);
  if (start === null) return null;
  const end = lineAt(bytes, END, start);
  if (end === null) {
    throw new NightlatchError(
      "oneshot/malformed",
      "custom.cfg holds the beginning of a one-time entry and not its end",
      {
        meaning: "It is left as it is.",
        remedy: `Take the lines from ${JSON.stringify(BEGIN)} on out of it by hand.`,
      },
    );
  }
  const lines = bytes.toString("utf8", start, end).split("\n");
  const before = lines[1]?.replace("# before: ", "");
  const head = bytes.subarray(0, before === "no newline" && start > 0 ? start - 1 : start);
  const rest = Buffer.concat([head, bytes.subarray(Math.min(end + END.length + 1, bytes.length))]);
  return { mark: markOf(lines[2]), rest: before === "no file" && rest.length === 0 ? null : rest };
}

function markOf(line: string | undefined): OneshotMark | null {
  try {
    return parseMark((line ?? "").replace(/^# /, ""));
  } catch (error) {
    if (error instanceof NightlatchError) return null;
    throw error;
  }
}

/** Where a line that is exactly this starts. */
function lineAt(bytes: Buffer, line: string, from: number): number | null {
  for (let at = bytes.indexOf(line, from); at >= 0; at = bytes.indexOf(line, at + 1)) {
    const after = bytes[at + line.length];
    if ((at === 0 || bytes[at - 1] === 0x0a) && (after === undefined || after === 0x0a)) return at;
  }
  return null;
}
