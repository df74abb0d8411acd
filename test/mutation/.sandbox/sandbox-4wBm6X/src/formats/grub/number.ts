/** What grub_strtoul makes of a text, and why if it makes none (grub-core/kern/misc.c). */
// @ts-nocheck

interface GrubNumber {
  readonly value: bigint;
  /** Where it stopped reading. */
  readonly end: number;
  readonly error: "none" | "no number" | "too large";
}

const isSpace = (character: string | undefined): boolean =>
  character === " " || character === "\t" || character === "\n" || character === "\r";

/**
 * Reads a number as grub_strtoul reads it: white space, `0x` or a leading 0 where the base is open,
 * as many digits as there are, and whatever stands behind them. It has no sign.
 * @param base 0 for what the number itself says
 * @param bits of an unsigned long: 32 where GRUB runs on a BIOS
 */
export function readNumber(text: string, base: 0 | 10, bits: 32 | 64): GrubNumber {
  let at = 0;
  while (isSpace(text[at])) at++;
  let radix = 10;
  if (base === 0 && text[at] === "0") {
    if (text[at + 1] === "x") {
      radix = 16;
      at += 2;
    } else if (/^[0-7]$/.test(text[at + 1] ?? "")) radix = 8;
  }
  const start = at;
  const most = (1n << 64n) - 1n;
  let value = 0n;
  for (;;) {
    const digit = digitOf(text[at]);
    if (digit >= radix) break;
    const next = value * BigInt(radix) + BigInt(digit);
    if (next > most) return { value: (1n << BigInt(bits)) - 1n, end: at, error: "too large" };
    value = next;
    at++;
  }
  if (at === start) return { value: 0n, end: at, error: "no number" };
  if (value >> BigInt(bits) !== 0n) return { value: (1n << BigInt(bits)) - 1n, end: at, error: "too large" };
  return { value, end: at, error: "none" };
}

function digitOf(character: string | undefined): number {
  if (character === undefined) return 99;
  const code = character.toLowerCase().charCodeAt(0);
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  return code >= 0x61 && code <= 0x7a ? code - 0x61 + 10 : 99;
}

/** As an `int` holds it. */
export const asInt = (value: bigint): number => Number(BigInt.asIntN(32, value));

/**
 * Reads a number with a sign as `test` reads it, which keeps an `int` of it
 * (grub-core/commands/test.c).
 */
export function readInt(text: string, bits: 32 | 64): number {
  if (!text.startsWith("-")) return asInt(readNumber(text, 0, bits).value);
  return asInt(-readNumber(text.slice(1), 0, bits).value);
}
