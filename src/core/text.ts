/** Text from outside, fit for a terminal: whatever controls one, or turns the direction of writing, becomes a question mark. */
export function printable(text: string, limit = 200): string {
  return text.slice(0, limit).replace(/[\p{C}\p{Zl}\p{Zp}]/gu, "?");
}

/** One word of a shell's command, whatever it holds: a header is written by whoever had the disk, and remedies are pasted by root. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
