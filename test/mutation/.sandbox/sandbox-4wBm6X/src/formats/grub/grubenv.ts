// @ts-nocheck
import { isError, NightlatchError } from "../../core/errors.ts";

const HEADER = "# GRUB Environment Block\n";
const MAX_BYTES = 64 * 1024;
const [NEWLINE, BACKSLASH, HASH, EQUALS] = [0x0a, 0x5c, 0x23, 0x3d];

/**
 * Reads GRUB's environment block as GRUB reads it (grub_envblk_iterate in grub-core/lib/envblk.c):
 * a header line, `name=value` lines with `\` before a newline or backslash of the value, and `#` up
 * to the end of the block. A line that begins with `#` is none; a name goes up to the next `=`,
 * over lines if need be; what is not ended by a newline counts for nothing.
 * @throws NightlatchError grub/malformed
 */
export function parseGrubenv(block: Uint8Array): Map<string, string> {
  const bytes = Buffer.from(block.buffer, block.byteOffset, block.byteLength);
  if (bytes.length > MAX_BYTES || bytes.length <= HEADER.length || !bytes.toString("latin1").startsWith(HEADER)) {
    throw new NightlatchError("grub/malformed", "grubenv is no GRUB environment block");
  }
  const values = new Map<string, string>();
  for (let at = HEADER.length; at < bytes.length; ) {
    if (bytes[at] !== HASH) {
      const equals = bytes.indexOf(EQUALS, at);
      const end = equals < 0 ? bytes.length : lineEnd(bytes, equals + 1);
      if (end >= bytes.length) return values;
      values.set(untilNul(bytes.subarray(at, equals)), untilNul(withoutBackslashes(bytes.subarray(equals + 1, end))));
      at = end;
    }
    at = lineEnd(bytes, at) + 1;
  }
  return values;
}

/** grubenv as GRUB finds it: what can be read from it, and what it is. */
export interface EnvironmentFile {
  readonly environment: ReadonlyMap<string, string>;
  /**
   * "bad": no environment block, so that GRUB reads nothing from it. "odd": it has lines without a
   * name, with which GRUB's reading and writing differ.
   */
  readonly grubenv: "good" | "odd" | "bad" | "absent";
}

/**
 * Reads an environment block, or tells that it cannot be read as GRUB would.
 * @param block null where there is no file
 */
export function readGrubenv(block: Uint8Array | null): EnvironmentFile {
  if (block === null) return { environment: new Map(), grubenv: "absent" };
  try {
    const lines = Buffer.from(block)
      .toString("latin1")
      .replaceAll(/\\[\s\S]/g, "")
      .split("\n");
    const isPlain = (line: string, at: number) =>
      line.startsWith("#") || line.indexOf("=") > 0 || (line === "" && at === lines.length - 1);
    return { environment: parseGrubenv(block), grubenv: lines.every(isPlain) ? "good" : "odd" };
  } catch (error) {
    if (isError(error, "grub/malformed")) return { environment: new Map(), grubenv: "bad" };
    throw error;
  }
}

/** The newline at or behind a place that no backslash stands before. */
function lineEnd(bytes: Buffer, from: number): number {
  let at = from;
  while (at < bytes.length && bytes[at] !== NEWLINE) at += bytes[at] === BACKSLASH ? 2 : 1;
  return at;
}

function withoutBackslashes(value: Buffer): Buffer {
  const kept: number[] = [];
  for (let at = 0; at < value.length; at++) {
    if (value[at] === BACKSLASH) at++;
    kept.push(value[at] ?? 0);
  }
  return Buffer.from(kept);
}

function untilNul(bytes: Buffer): string {
  const nul = bytes.indexOf(0);
  return bytes.toString("utf8", 0, nul < 0 ? undefined : nul);
}
