import { NightlatchError } from "../core/errors.ts";

const HEADER = "# GRUB Environment Block\n";
const MAX_BYTES = 64 * 1024;

/**
 * GRUB's environment block (grub-core/lib/envblk.c): a header line, `name=value` lines with `\` before a newline or
 * backslash of the value, `#` up to the end of the block.
 * @throws NightlatchError grub/malformed
 */
export function parseGrubenv(block: Uint8Array): Map<string, string> {
  const text = Buffer.from(block.buffer, block.byteOffset, Math.min(block.byteLength, MAX_BYTES + 1)).toString("utf8");
  if (text.length > MAX_BYTES || !text.startsWith(HEADER)) {
    throw new NightlatchError("grub/malformed", "grubenv is no GRUB environment block");
  }
  const values = new Map<string, string>();
  for (const line of logicalLines(text.slice(HEADER.length))) {
    const at = line.indexOf("=");
    if (line.startsWith("#") || at < 1) continue;
    values.set(line.slice(0, at), line.slice(at + 1));
  }
  return values;
}

function logicalLines(text: string): string[] {
  const lines: string[] = [];
  let line = "";
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (character === "\\" && at + 1 < text.length) line += text[++at];
    else if (character === "\n") {
      lines.push(line);
      line = "";
    } else line += character;
  }
  return lines;
}
