import { NightlatchError } from "../core/errors.ts";

/** A piece of a word: text as it is, or a variable, which splits into words where it is not quoted. */
export type WordPart =
  | { readonly kind: "text"; readonly text: string; readonly quoted: boolean }
  | { readonly kind: "variable"; readonly name: string; readonly quoted: boolean };
export type Word = readonly WordPart[];

export type Statement =
  | { readonly kind: "command"; readonly words: readonly Word[]; readonly block: readonly Statement[] | null }
  | { readonly kind: "if"; readonly branches: readonly Branch[]; readonly otherwise: readonly Statement[] }
  | { readonly kind: "loop"; readonly until: boolean; readonly branch: Branch }
  | {
      readonly kind: "for";
      readonly name: string;
      readonly words: readonly Word[];
      readonly body: readonly Statement[];
    }
  | { readonly kind: "function"; readonly name: string; readonly body: readonly Statement[] };

export interface Branch {
  readonly condition: readonly Statement[];
  readonly body: readonly Statement[];
}

const MAX_LENGTH = 1 << 20;
const MAX_DEPTH = 32;

/**
 * GRUB's script language as grub-core/script/parser.y and yylex.l have it, without pipes, which GRUB has not either.
 * @throws NightlatchError grub/malformed
 */
export function parseGrubScript(text: string): Statement[] {
  if (text.length > MAX_LENGTH) throw malformed(`is larger than ${MAX_LENGTH} characters`);
  return new Parser(tokenize(text)).script();
}

function malformed(how: string): NightlatchError {
  return new NightlatchError("grub/malformed", `the GRUB configuration ${how}`);
}

type Token = { readonly kind: "word"; readonly word: Word } | { readonly kind: "end" };

function tokenize(text: string): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  while (at < text.length) {
    const character = text.charAt(at);
    if (character === " " || character === "\t" || character === "\r") at++;
    else if (text.startsWith("\\\n", at)) at += 2;
    else if (character === "\n" || character === ";") {
      tokens.push({ kind: "end" });
      at++;
    } else if (character === "#") {
      while (at < text.length && text[at] !== "\n") at++;
    } else if (character === "{" || character === "}") {
      tokens.push({ kind: "word", word: [{ kind: "text", text: character, quoted: false }] });
      at++;
    } else if (character === "|" || character === "&" || character === "<" || character === ">") {
      throw malformed(`holds ${JSON.stringify(character)}, which its language does not have`);
    } else {
      const read = readWord(text, at);
      tokens.push({ kind: "word", word: read.word });
      at = read.end;
    }
  }
  return tokens;
}

const WORD_ENDS = new Set([" ", "\t", "\r", "\n", ";", "{", "}", "|", "&", "<", ">"]);
const VARIABLE = /\$(?:\{([A-Za-z0-9_]+|[?#@*])\}|([A-Za-z_][A-Za-z0-9_]*|[0-9]+|[?#@*]))/y;

function readWord(text: string, start: number): { word: Word; end: number } {
  const parts: WordPart[] = [];
  const push = (value: string, quoted: boolean) => parts.push({ kind: "text", text: value, quoted });
  let at = start;
  while (at < text.length && !WORD_ENDS.has(text.charAt(at))) {
    const character = text.charAt(at);
    if (character === "\\") {
      if (text[at + 1] !== "\n") push(text.charAt(at + 1), true);
      at += 2;
    } else if (character === "'") {
      const end = text.indexOf("'", at + 1);
      if (end < 0) throw malformed("has a quote that does not end");
      push(text.slice(at + 1, end), true);
      at = end + 1;
    } else if (character === '"') {
      push("", true);
      at = readDoubleQuoted(text, at + 1, parts);
    } else if (character === "$") {
      const name = variableAt(text, at);
      // $"…" is a translatable string: the quotes follow.
      if (name !== null) parts.push({ kind: "variable", name: name.name, quoted: false });
      else if (text[at + 1] !== '"') push("$", false);
      at = name?.end ?? at + 1;
    } else {
      push(character, false);
      at++;
    }
  }
  return { word: parts, end: at };
}

function readDoubleQuoted(text: string, start: number, parts: WordPart[]): number {
  let at = start;
  let literal = "";
  const flush = () => {
    if (literal !== "") parts.push({ kind: "text", text: literal, quoted: true });
    literal = "";
  };
  while (text[at] !== '"') {
    if (at >= text.length) throw malformed("has a quote that does not end");
    const variable = text[at] === "$" ? variableAt(text, at) : null;
    if (variable !== null) {
      flush();
      parts.push({ kind: "variable", name: variable.name, quoted: true });
      at = variable.end;
    } else if (text[at] === "\\" && /[$"\\\n]/.test(text.charAt(at + 1))) {
      if (text[at + 1] !== "\n") literal += text.charAt(at + 1);
      at += 2;
    } else literal += text.charAt(at++);
  }
  flush();
  return at + 1;
}

function variableAt(text: string, at: number): { name: string; end: number } | null {
  VARIABLE.lastIndex = at;
  const found = VARIABLE.exec(text);
  if (found === null) return null;
  return { name: String(found[1] ?? found[2]), end: VARIABLE.lastIndex };
}

class Parser {
  readonly #tokens: readonly Token[];
  #at = 0;
  #depth = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  script(): Statement[] {
    const statements = this.#statements(new Set());
    if (this.#at < this.#tokens.length) throw malformed("closes what it did not open");
    return statements;
  }

  #statements(ends: ReadonlySet<string>): Statement[] {
    if (++this.#depth > MAX_DEPTH) throw malformed(`is nested deeper than ${MAX_DEPTH}`);
    const statements: Statement[] = [];
    for (;;) {
      while (this.#tokens[this.#at]?.kind === "end") this.#at++;
      const word = this.#keyword();
      if (this.#at >= this.#tokens.length || (word !== null && (ends.has(word) || word === "}"))) break;
      statements.push(this.#statement(word));
    }
    this.#depth--;
    return statements;
  }

  #statement(keyword: string | null): Statement {
    switch (keyword) {
      case "if":
        return this.#if();
      case "while":
      case "until":
        this.#at++;
        return { kind: "loop", until: keyword === "until", branch: this.#branch("do", new Set(["done"]), "done") };
      case "for":
        return this.#for();
      case "function":
        this.#at++;
        return { kind: "function", name: this.#plainWord(), body: this.#block() };
      default:
        return this.#command();
    }
  }

  #if(): Statement {
    this.#at++;
    const branches: Branch[] = [];
    const ends = new Set(["elif", "else", "fi"]);
    branches.push(this.#branch("then", ends, null));
    for (;;) {
      const keyword = this.#plainWord();
      if (keyword === "fi") return { kind: "if", branches, otherwise: [] };
      if (keyword === "else") {
        const otherwise = this.#statements(new Set(["fi"]));
        this.#expect("fi");
        return { kind: "if", branches, otherwise };
      }
      if (keyword !== "elif") throw malformed('has an "if" without its "fi"');
      branches.push(this.#branch("then", ends, null));
    }
  }

  #branch(opener: string, ends: ReadonlySet<string>, closer: string | null): Branch {
    const condition = this.#statements(new Set([opener]));
    this.#expect(opener);
    const body = this.#statements(ends);
    if (closer !== null) this.#expect(closer);
    return { condition, body };
  }

  #for(): Statement {
    this.#at++;
    const name = this.#plainWord();
    this.#expect("in");
    const words = this.#words();
    while (this.#tokens[this.#at]?.kind === "end") this.#at++;
    this.#expect("do");
    const body = this.#statements(new Set(["done"]));
    this.#expect("done");
    return { kind: "for", name, words, body };
  }

  #command(): Statement {
    const words = this.#words();
    return { kind: "command", words, block: this.#keyword() === "{" ? this.#block() : null };
  }

  #words(): Word[] {
    const words: Word[] = [];
    for (;;) {
      const token = this.#tokens[this.#at];
      const keyword = this.#keyword();
      if (token?.kind !== "word" || keyword === "{" || keyword === "}") return words;
      words.push(token.word);
      this.#at++;
    }
  }

  #block(): Statement[] {
    while (this.#tokens[this.#at]?.kind === "end") this.#at++;
    this.#expect("{");
    const body = this.#statements(new Set());
    this.#expect("}");
    return body;
  }

  /** The next token's text when all of it is unquoted, else null. Nothing is taken. */
  #keyword(): string | null {
    const token = this.#tokens[this.#at];
    if (token?.kind !== "word") return null;
    let text = "";
    for (const part of token.word) {
      if (part.kind !== "text" || part.quoted) return null;
      text += part.text;
    }
    return text;
  }

  #plainWord(): string {
    const word = this.#keyword();
    if (word === null) throw malformed("ends where a word should stand");
    this.#at++;
    return word;
  }

  #expect(word: string): void {
    if (this.#keyword() !== word) throw malformed(`lacks a ${JSON.stringify(word)}`);
    this.#at++;
  }
}
