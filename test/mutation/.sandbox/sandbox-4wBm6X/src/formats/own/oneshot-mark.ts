// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";
import { isJsonObject, parseJson } from "../json/json.ts";
import { isInteger, isTextLike } from "../json/narrow.ts";

/** The loader's name for our entry; docs/format/oneshot.md. */
export const ONESHOT_ID = "nightlatch-oneshot";

/**
 * What an armed entry says of itself, in a comment: enough to disarm it with nothing else at hand.
 */
export interface OneshotMark {
  /** boot_id of the boot that armed it. */
  readonly boot: string;
  /** Seconds since the epoch. */
  readonly expires: number;
  /** The file with the keys, as the system that armed it names it. */
  readonly overlay: string;
  /** The loader's one-time choice as it was before: null where there was none. */
  readonly before: string | null;
}

const LIMIT_BYTES = 4096;

/** Writes the mark as one line, without a newline. */
export function formatMark({ boot, expires, overlay, before }: OneshotMark): string {
  return JSON.stringify({ version: 1, boot, expires, overlay, before });
}

/**
 * Reads the mark.
 * @throws NightlatchError oneshot/malformed
 */
export function parseMark(line: string): OneshotMark {
  const json = parseJson(Buffer.from(line), "the mark of a one-time entry", { lengthBytes: LIMIT_BYTES });
  if (!isJsonObject(json) || json["version"] !== 1) throw malformed("is of a version that is not known");
  const { boot, expires, overlay, before } = json;
  if (!isTextLike(boot, /^[0-9a-f-]{36}$/)) throw malformed("has a wrong boot");
  if (!isInteger(expires, 0, Number.MAX_SAFE_INTEGER)) throw malformed("has a wrong expires");
  if (!isTextLike(overlay, /^\//)) throw malformed("has a wrong overlay");
  if (before !== null && typeof before !== "string") throw malformed("has a wrong before");
  return { boot, expires, overlay, before };
}

function malformed(how: string): NightlatchError {
  return new NightlatchError("oneshot/malformed", `the mark of a one-time boot entry ${how}`);
}
