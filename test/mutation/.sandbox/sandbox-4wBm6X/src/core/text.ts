/**
 * Makes text from outside fit for a terminal: whatever controls one, or turns the direction of
 * writing, becomes a question mark.
 */
// @ts-nocheck

export function printable(text: string, limit = 200): string {
  return text.slice(0, limit).replace(/[\p{C}\p{Zl}\p{Zp}]/gu, "?");
}

/**
 * Takes off those of `characters` that end the text. A pattern such as /\/+$/ would begin anew at
 * each of many slashes: work that grows with the square of what came from outside.
 */
export function trimEndOf(text: string, characters: string): string {
  let end = text.length;
  while (end > 0 && characters.includes(text.charAt(end - 1))) end--;
  return text.slice(0, end);
}

/**
 * Writes one word of a shell's command, whatever it holds: a header is written by whoever had the
 * disk, and remedies are pasted by root.
 */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
