// @ts-nocheck
import { TOKEN_WORK, type WorkBudget } from "./budget.ts";

/**
 * A piece of a word: text as it is, or a variable, which splits into words where it is not quoted.
 */
export type WordPart =
  | { readonly kind: "text"; readonly text: string; readonly quoted: boolean }
  | { readonly kind: "variable"; readonly name: string; readonly quoted: boolean }
  /** `$"…"`, which GRUB looks up in its translations. */
  | { readonly kind: "translated"; readonly text: string };
/** A word of a script: its parts stand without a blank between them. */
export type Word = readonly WordPart[];

/** What the lexer gives the parser, with its place in the script. */
export interface Token {
  readonly kind: "newline" | ";" | "{" | "}" | "keyword" | "name" | "word" | "bad" | "end";
  /** What stands there, where nothing in it is quoted or expanded; else null. */
  readonly text: string | null;
  readonly word: Word;
  readonly start: number;
  readonly end: number;
}

const KEYWORDS = new Set([
  ...["case", "do", "done", "elif", "else", "esac", "fi", "for", "if", "in", "select", "then", "until", "while"],
  "function",
]);
const VARIABLE = /\$(?:\{([A-Za-z_][A-Za-z0-9_]*|[0-9]+|[?#@*])\}|([A-Za-z_][A-Za-z0-9_]*|[0-9]+|[?#@*]))/y;
const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;
/** What does not stand for itself in a word. */
const SPECIAL = new Set([..."{}|&$;<> \t\n'\"\\"].map((character) => character.charCodeAt(0)));
const IN_QUOTES = /[^"$\\]+/y;

/**
 * The tokens of GRUB's script, one at a time (grub-core/script/yylex.l). What GRUB's lexer refuses
 * is a token "bad", which ends where the line ends that GRUB has read by then.
 */
export class Lexer {
  readonly text: string;
  readonly #budget: WorkBudget;
  #at = 0;

  /** @param text ends in a newline */
  constructor(text: string, budget: WorkBudget) {
    this.text = text;
    this.#budget = budget;
  }

  get at(): number {
    return this.#at;
  }

  /** Goes on behind the line in which a token ends, as GRUB does after an error. */
  skipLine(token: Token): void {
    const newline = this.text.indexOf("\n", Math.max(token.start, token.end - 1));
    this.#at = newline < 0 ? this.text.length : newline + 1;
  }

  next(): Token {
    const { text } = this;
    const from = this.#at;
    while (text[this.#at] === " " || text[this.#at] === "\t") this.#at++;
    if (text[this.#at] === "#") {
      const end = text.indexOf("\n", this.#at);
      this.#at = end < 0 ? text.length : end;
    }
    const token = this.#token();
    this.#budget.spend(TOKEN_WORK + this.#at - from);
    return token;
  }

  #token(): Token {
    const start = this.#at;
    const character = this.text[start];
    const mark = (kind: Token["kind"], length: number): Token => {
      this.#at += length;
      return { kind, text: null, word: [], start, end: this.#at };
    };
    switch (character) {
      case undefined:
        return mark("end", 0);
      case "\n":
        return mark("newline", 1);
      case ";":
        return this.text[start + 1] === ";" ? mark("bad", 2) : mark(";", 1);
      case "{":
      case "}":
        return mark(character, 1);
      case "|":
      case "&":
      case "<":
      case ">":
        return mark("bad", 1);
      default:
        return this.#word(start);
    }
  }

  #word(start: number): Token {
    const parts: WordPart[] = [];
    let isBad = false;
    let isPlain = true;
    for (;;) {
      const plain = this.#plain();
      if (plain !== "") {
        parts.push({ kind: "text", text: plain, quoted: false });
        this.#spendPart();
        continue;
      }
      const character = this.text[this.#at];
      if (character === "\\") isBad = !this.#escape(parts) || isBad;
      else if (character === "'") isBad = !this.#singleQuoted(parts) || isBad;
      else if (character === '"') isBad = !this.#doubleQuoted(parts) || isBad;
      else if (character === "$") {
        if (!this.#dollar(parts)) {
          // GRUB's lexer finds no token at this "$".
          isBad = true;
          this.#at++;
          break;
        }
      } else break;
      isPlain = false;
      this.#spendPart();
    }
    if (isBad) return { kind: "bad", text: null, word: [], start, end: this.#at };
    const text = isPlain ? this.text.slice(start, this.#at) : null;
    return { kind: kindOf(text), text, word: parts, start, end: this.#at };
  }

  #spendPart(): void {
    this.#budget.spend(TOKEN_WORK / 2);
  }

  /**
   * What stands for itself from here on; it is looked at one by one, for this is where all of a
   * file passes.
   */
  #plain(): string {
    const { text } = this;
    const start = this.#at;
    while (this.#at < text.length && !SPECIAL.has(text.charCodeAt(this.#at))) this.#at++;
    return text.slice(start, this.#at);
  }

  #match(pattern: RegExp): string | null {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.text);
    if (found === null) return null;
    this.#at = pattern.lastIndex;
    return found[0];
  }

  /**
   * A backslash makes the next character plain, and takes a newline away. False at the end of the
   * text.
   */
  #escape(parts: WordPart[]): boolean {
    const next = this.text.codePointAt(this.#at + 1);
    const character = next === undefined ? "" : String.fromCodePoint(next);
    this.#at += 1 + character.length;
    if (character !== "\n" && character !== "") parts.push({ kind: "text", text: character, quoted: true });
    return character !== "" && this.#at < this.text.length;
  }

  /** False where the quote does not end: GRUB reads on to the end of the file. */
  #singleQuoted(parts: WordPart[]): boolean {
    const end = this.text.indexOf("'", this.#at + 1);
    parts.push({ kind: "text", text: this.text.slice(this.#at + 1, end < 0 ? undefined : end), quoted: true });
    this.#at = end < 0 ? this.text.length : end + 1;
    return end >= 0;
  }

  #dollar(parts: WordPart[]): boolean {
    const name = this.#variable();
    if (name !== null) {
      parts.push({ kind: "variable", name, quoted: false });
      return true;
    }
    if (this.text[this.#at + 1] !== '"') return false;
    const start = ++this.#at;
    const isGood = this.#doubleQuoted([], true);
    // What stands before it in the word is translated together with it (yylex.l): all of the word
    // is what nobody here knows.
    parts.push({ kind: "translated", text: this.text.slice(start, this.#at) });
    return isGood;
  }

  #variable(): string | null {
    VARIABLE.lastIndex = this.#at;
    const found = VARIABLE.exec(this.text);
    if (found === null) return null;
    this.#at = VARIABLE.lastIndex;
    return String(found[1] ?? found[2]);
  }

  /**
   * False where a "$" in it begins no variable, which GRUB refuses, and where the quote does not
   * end.
   */
  #doubleQuoted(parts: WordPart[], isTranslated = false): boolean {
    let isGood = true;
    let literal = "";
    this.#at++;
    for (;;) {
      const plain = this.#match(IN_QUOTES);
      const character = this.text[this.#at];
      if (plain !== null) literal += plain;
      else if (character === '"') break;
      else if (character === undefined) return false;
      else if (character === "\\") {
        const next = this.text.charAt(this.#at + 1);
        if (next === "$" || next === '"' || next === "\\") literal += next;
        else if (next !== "\n") literal += `\\${next}`;
        this.#at += 2;
      } else {
        parts.push({ kind: "text", text: literal, quoted: true });
        literal = "";
        const name = this.#variable();
        if (name !== null) parts.push({ kind: "variable", name, quoted: true });
        else {
          isGood = isGood && isTranslated;
          this.#at++;
        }
      }
      this.#budget.spend(TOKEN_WORK / 2);
    }
    this.#at++;
    parts.push({ kind: "text", text: literal, quoted: true });
    return isGood;
  }
}

function kindOf(text: string | null): Token["kind"] {
  if (text === null) return "word";
  if (KEYWORDS.has(text)) return "keyword";
  if (text === "[[" || text === "]]") return "bad";
  return NAME.test(text) ? "name" : "word";
}
