// @ts-nocheck
import { unknown } from "./budget.ts";

/** A POSIX extended regular expression, over bytes. */
export type Pattern =
  | { readonly kind: "set"; readonly has: (byte: number) => boolean }
  | { readonly kind: "start" | "end" | "empty" }
  | { readonly kind: "both"; readonly first: Pattern; readonly then: Pattern }
  | { readonly kind: "either"; readonly choices: readonly Pattern[] }
  | { readonly kind: "repeat"; readonly inner: Pattern; readonly min: number; readonly max: number }
  | { readonly kind: "group"; readonly inner: Pattern; readonly number: number };

/** A pattern, and how many groups it has. */
export interface ParsedPattern {
  readonly pattern: Pattern;
  readonly groups: number;
}

const MAX_LENGTH = 1000;
const MAX_REPEAT = 255;
const MAX_DEPTH = 32;

/**
 * Reads what `regexp` of GRUB is given, as regcomp(3) does with REG_EXTENDED. Null where that
 * refuses it.
 * @param source one character a byte
 * @throws NightlatchError grub/unknown for GNU's additions, which are not followed here
 */
export function parsePattern(source: string): ParsedPattern | null {
  if (source.length > MAX_LENGTH) throw unknown(`has a regular expression of more than ${MAX_LENGTH} characters`);
  const parser = new PatternParser(source);
  try {
    return { pattern: parser.whole(), groups: parser.groups };
  } catch (error) {
    if (error instanceof Refused) return null;
    throw error;
  }
}

class Refused extends Error {}

const EMPTY: Pattern = { kind: "empty" };
const one = (byte: number): Pattern => ({ kind: "set", has: (other) => other === byte });

class PatternParser {
  readonly #source: string;
  #at = 0;
  #depth = 0;
  groups = 0;

  constructor(source: string) {
    this.#source = source;
  }

  whole(): Pattern {
    return this.#either();
  }

  #either(): Pattern {
    if (++this.#depth > MAX_DEPTH) throw unknown(`has a regular expression that is nested deeper than ${MAX_DEPTH}`);
    const choices = [this.#sequence()];
    while (this.#source[this.#at] === "|") {
      this.#at++;
      choices.push(this.#sequence());
    }
    this.#depth--;
    return choices.length === 1 ? (choices[0] ?? EMPTY) : { kind: "either", choices };
  }

  #sequence(): Pattern {
    const parts: Pattern[] = [];
    while (this.#at < this.#source.length && this.#source[this.#at] !== "|") {
      // A ")" that closes nothing stands for itself.
      if (this.#source[this.#at] === ")" && this.#depth > 1) break;
      parts.push(this.#repeated());
    }
    const last = parts.pop() ?? EMPTY;
    return parts.reduceRight((then: Pattern, first) => ({ kind: "both", first, then }), last);
  }

  #repeated(): Pattern {
    const isAnchor = "^$".includes(this.#source.charAt(this.#at));
    let pattern = this.#atom();
    for (;;) {
      const bounds = this.#bounds();
      if (bounds === null) return pattern;
      if (isAnchor) throw new Refused();
      pattern = { kind: "repeat", inner: pattern, ...bounds };
    }
  }

  #bounds(): { min: number; max: number } | null {
    const character = this.#source[this.#at];
    const simple = { "*": [0, Number.POSITIVE_INFINITY], "+": [1, Number.POSITIVE_INFINITY], "?": [0, 1] } as const;
    if (character === "*" || character === "+" || character === "?") {
      this.#at++;
      const [min, max] = simple[character];
      return { min, max };
    }
    if (character !== "{") return null;
    const close = this.#source.indexOf("}", this.#at);
    const found = close < 0 ? null : /^(\d{0,5})(?:(,)(\d{0,5}))?$/.exec(this.#source.slice(this.#at + 1, close));
    if (found === null || (found[1] === "" && found[2] === undefined)) throw new Refused();
    const min = Number(found[1]);
    const max = found[2] === undefined ? min : found[3] === "" ? Number.POSITIVE_INFINITY : Number(found[3]);
    if (max < min || min > 0x7fff || (max !== Number.POSITIVE_INFINITY && max > 0x7fff)) throw new Refused();
    if (min > MAX_REPEAT || (max > MAX_REPEAT && max !== Number.POSITIVE_INFINITY))
      throw unknown(`has a regular expression that repeats more than ${MAX_REPEAT} times`);
    this.#at = close + 1;
    return { min, max };
  }

  #atom(): Pattern {
    const character = this.#source.charAt(this.#at++);
    switch (character) {
      case "(": {
        const number = ++this.groups;
        const inner = this.#source[this.#at] === ")" ? EMPTY : this.#either();
        if (this.#source[this.#at] !== ")") throw new Refused();
        this.#at++;
        return { kind: "group", inner, number };
      }
      case "[":
        return { kind: "set", has: this.#brackets() };
      case ".":
        return { kind: "set", has: (byte) => byte !== 0 };
      case "^":
        return { kind: "start" };
      case "$":
        return { kind: "end" };
      case "*":
      case "+":
      case "?":
      case "{":
        throw new Refused();
      case "\\": {
        const escaped = this.#source.charAt(this.#at++);
        if (escaped === "") throw new Refused();
        if (/[1-9wWsSbB<>`']/.test(escaped)) throw unknown(`has \\${escaped} in a regular expression`);
        return one(escaped.charCodeAt(0));
      }
      default:
        return one(character.charCodeAt(0));
    }
  }

  #brackets(): (byte: number) => boolean {
    const isNegated = this.#source[this.#at] === "^";
    if (isNegated) this.#at++;
    const members = new Set<number>();
    for (let isFirst = true; isFirst || this.#source[this.#at] !== "]"; isFirst = false) {
      if (this.#at >= this.#source.length) throw new Refused();
      this.#member(members);
    }
    this.#at++;
    return (byte) => byte !== 0 && members.has(byte) !== isNegated;
  }

  #member(members: Set<number>): void {
    const character = this.#source.charAt(this.#at);
    const next = this.#source[this.#at + 1];
    if (character === "[" && (next === "." || next === "=")) throw unknown(`has [${next} in a regular expression`);
    if (character === "[" && next === ":") {
      const end = this.#source.indexOf(":]", this.#at);
      const name = end < 0 ? "" : this.#source.slice(this.#at + 2, end);
      const pattern = Object.hasOwn(CLASSES, name) ? CLASSES[name] : undefined;
      if (pattern === undefined) throw new Refused();
      for (let byte = 1; byte < 128; byte++) if (pattern.test(String.fromCharCode(byte))) members.add(byte);
      this.#at = end + 2;
      if (this.#source[this.#at] === "-" && this.#source[this.#at + 1] !== "]") throw new Refused();
      return;
    }
    const from = character.charCodeAt(0);
    this.#at++;
    if (this.#source[this.#at] !== "-" || (this.#source[this.#at + 1] ?? "]") === "]") {
      members.add(from);
      return;
    }
    const end = this.#source.charAt(this.#at + 1);
    if (end === "[" && /[:.=]/.test(this.#source[this.#at + 2] ?? ""))
      throw unknown("has a range to a class of characters");
    const to = end.charCodeAt(0);
    if (to < from) throw new Refused();
    for (let byte = from; byte <= to; byte++) members.add(byte);
    this.#at += 2;
  }
}

const CLASSES: { readonly [name: string]: RegExp } = {
  alpha: /[A-Za-z]/,
  digit: /[0-9]/,
  alnum: /[A-Za-z0-9]/,
  upper: /[A-Z]/,
  lower: /[a-z]/,
  space: /[ \t\n\r\v\f]/,
  blank: /[ \t]/,
  punct: /[!-/:-@[-`{-~]/,
  print: /[ -~]/,
  graph: /[!-~]/,
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the class of control characters
  cntrl: /[\x00-\x1f\x7f]/,
  xdigit: /[0-9A-Fa-f]/,
};
