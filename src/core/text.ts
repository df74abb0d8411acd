/** Text from outside, fit for a terminal: whatever controls one, or turns the direction of writing, becomes a question mark. */
export function printable(text: string, limit = 200): string {
  return text.slice(0, limit).replace(/[\p{C}\p{Zl}\p{Zp}]/gu, "?");
}
