import { NightlatchError } from "../core/errors.ts";
import type { Word } from "./grub-script.ts";

/** GRUB has no such limit; a configuration that doubles a value in a loop would fill the memory without one. */
export const MAX_VALUE_LENGTH = 64 * 1024;

/**
 * What a word of GRUB's script becomes: unquoted variables split at white space, and a word of nothing but empty ones vanishes.
 * @throws NightlatchError grub/malformed
 */
export function expandWord(word: Word, value: (name: string) => string): string[] {
  const results: string[] = [];
  let current: string | null = null;
  for (const part of word) {
    if (part.kind === "text") current = (current ?? "") + part.text;
    else if (part.quoted) current = (current ?? "") + value(part.name);
    else {
      for (const [index, piece] of value(part.name)
        .split(/[ \t\n]+/)
        .entries()) {
        if (index > 0 && current !== null) {
          results.push(current);
          current = null;
        }
        if (piece !== "") current = (current ?? "") + piece;
      }
    }
    if (current !== null && current.length > MAX_VALUE_LENGTH) {
      throw new NightlatchError("grub/malformed", "the GRUB configuration makes a word too long");
    }
  }
  if (current !== null) results.push(current);
  return results;
}
