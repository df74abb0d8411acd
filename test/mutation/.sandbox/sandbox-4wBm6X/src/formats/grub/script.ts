// @ts-nocheck
import { malformed, WorkBudget } from "./budget.ts";
import { Lexer, type Token, type Word } from "./lexer.ts";

/** A statement of a script (grub-core/script/parser.y). */
export type Statement =
  | { readonly kind: "command"; readonly words: readonly Word[]; readonly block: Block | null }
  | { readonly kind: "if"; readonly branches: readonly Branch[]; readonly otherwise: readonly Statement[] }
  | { readonly kind: "loop"; readonly until: boolean; readonly branch: Branch }
  | {
      readonly kind: "for";
      readonly name: string;
      readonly words: readonly Word[];
      readonly body: readonly Statement[];
    }
  | { readonly kind: "function"; readonly name: string; readonly body: readonly Statement[] };

/** What stands in braces behind a command, which gets it as text. */
export interface Block {
  readonly text: string;
  readonly body: readonly Statement[];
}

/** A condition, and what is run where it holds. */
export interface Branch {
  readonly condition: readonly Statement[];
  readonly body: readonly Statement[];
}

/** What GRUB reads before it runs it: a line, or as many as a statement takes. */
export type Unit =
  | { readonly kind: "statements"; readonly statements: readonly Statement[] }
  /**
   * GRUB prints an error, defines the functions that stand before it, and goes on at the next line.
   */
  | { readonly kind: "error"; readonly functions: readonly Statement[]; readonly at: number };

const MAX_LENGTH = 1 << 20;
const MAX_DEPTH = 32;

/**
 * Reads all statements of a text without errors.
 * @throws NightlatchError grub/malformed
 */
export function parseGrubScript(text: string): Statement[] {
  const reader = new UnitReader(text, new WorkBudget());
  const statements: Statement[] = [];
  for (let unit = reader.next(); unit !== null; unit = reader.next()) {
    if (unit.kind === "error")
      throw malformed(`is not understood in line ${text.slice(0, unit.at).split("\n").length}`);
    for (const statement of unit.statements) statements.push(statement);
  }
  return statements;
}

/**
 * Takes out of a file's text what GRUB does: carriage returns, and the lines that begin with "#"
 * (normal/main.c, lib/getline.c).
 */
export function configurationText(text: string): string {
  const lines = text.replaceAll("\r", "").split("\n");
  return lines
    .filter((line) => !line.startsWith("#"))
    .map(untilNul)
    .join("\n");
}

function untilNul(line: string): string {
  const nul = line.indexOf("\0");
  return nul < 0 ? line : line.slice(0, nul);
}

/** Where the grammar allows no token. */
class Misplaced extends Error {
  readonly token: Token;
  constructor(token: Token) {
    super();
    this.token = token;
  }
}

/** GRUB's script, unit by unit, as grub-core/script/parser.y has it. */
export class UnitReader {
  readonly #lexer: Lexer;
  #ahead: Token | null = null;
  #depth = 0;
  #functions: Statement[] = [];

  /** @throws NightlatchError grub/malformed where the text is too long */
  constructor(text: string, budget: WorkBudget) {
    if (text.length > MAX_LENGTH) throw malformed(`is larger than ${MAX_LENGTH} characters`);
    this.#lexer = new Lexer(text.endsWith("\n") ? text : `${text}\n`, budget);
  }

  /** Null at the end. @throws NightlatchError grub/malformed where it passes a bound of ours */
  next(): Unit | null {
    if (this.#lexer.at >= this.#lexer.text.length) return null;
    this.#ahead = null;
    this.#depth = 0;
    this.#functions = [];
    try {
      return { kind: "statements", statements: this.#unit() };
    } catch (error) {
      if (!(error instanceof Misplaced)) throw error;
      this.#lexer.skipLine(error.token);
      return { kind: "error", functions: this.#functions, at: error.token.start };
    }
  }

  #unit(): Statement[] {
    const statements: Statement[] = [];
    for (;;) {
      if (this.#peek().kind === "newline") {
        this.#take();
        return statements;
      }
      statements.push(this.#statement());
      const delimiter = this.#take();
      if (delimiter.kind === "newline") return statements;
      if (delimiter.kind !== ";") throw new Misplaced(delimiter);
    }
  }

  #statement(): Statement {
    if (this.#peek().text !== "function") return this.#command();
    this.#take();
    const name = this.#name();
    while (this.#peek().kind === "newline") this.#take();
    this.#expect("{");
    const { list, isDelimited } = this.#deeper();
    if (!isDelimited) throw new Misplaced(this.#peek());
    this.#expect("}");
    const statement: Statement = { kind: "function", name, body: list };
    this.#functions.push(statement);
    return statement;
  }

  #command(): Statement {
    const token = this.#peek();
    if (token.kind === "keyword") return this.#compound(this.#take());
    if (token.kind !== "name" && token.kind !== "word") throw new Misplaced(token);
    const words = this.#words();
    return { kind: "command", words, block: this.#peek().kind === "{" ? this.#block() : null };
  }

  #compound(keyword: Token): Statement {
    switch (keyword.text) {
      case "if":
        return this.#if();
      case "while":
      case "until": {
        const condition = this.#listUntil("do");
        const body = this.#listUntil("done");
        return { kind: "loop", until: keyword.text === "until", branch: { condition, body } };
      }
      case "for": {
        const name = this.#name();
        this.#expectKeyword("in");
        const words = this.#words();
        this.#delimiters();
        this.#expectKeyword("do");
        return { kind: "for", name, words, body: this.#listUntil("done") };
      }
      default:
        throw new Misplaced(keyword);
    }
  }

  #if(): Statement {
    const branches: Branch[] = [];
    for (;;) {
      const condition = this.#listUntil("then");
      const { list: body, isDelimited } = this.#deeper();
      branches.push({ condition, body });
      const end = this.#take();
      if (!isDelimited) throw new Misplaced(end);
      if (end.text === "fi") return { kind: "if", branches, otherwise: [] };
      if (end.text === "else") return { kind: "if", branches, otherwise: this.#listUntil("fi") };
      if (end.text !== "elif") throw new Misplaced(end);
    }
  }

  /** Commands, a delimiter and then the keyword. */
  #listUntil(keyword: string): Statement[] {
    const { list, isDelimited } = this.#deeper();
    if (!isDelimited) throw new Misplaced(this.#peek());
    this.#expectKeyword(keyword);
    return list;
  }

  #deeper(): { list: Statement[]; isDelimited: boolean } {
    if (++this.#depth > MAX_DEPTH) throw malformed(`is nested deeper than ${MAX_DEPTH}`);
    const found = this.#list();
    this.#depth--;
    return found;
  }

  /** One command or more. `isDelimited`: whether a delimiter stands behind the last. */
  #list(): { list: Statement[]; isDelimited: boolean } {
    while (this.#peek().kind === "newline") this.#take();
    const list = [this.#command()];
    for (;;) {
      const { kind } = this.#peek();
      if (kind !== "newline" && kind !== ";") return { list, isDelimited: false };
      this.#delimiters();
      if (!this.#startsCommand()) return { list, isDelimited: true };
      list.push(this.#command());
    }
  }

  #startsCommand(): boolean {
    const { kind, text } = this.#peek();
    return kind === "word" || kind === "name" || (kind === "keyword" && COMPOUND.has(text ?? ""));
  }

  #delimiters(): void {
    const first = this.#take();
    if (first.kind !== "newline" && first.kind !== ";") throw new Misplaced(first);
    while (this.#peek().kind === "newline") this.#take();
  }

  #words(): Word[] {
    const words: Word[] = [];
    for (;;) {
      const { kind } = this.#peek();
      if (kind !== "word" && kind !== "name" && kind !== "keyword") return words;
      words.push(this.#take().word);
    }
  }

  #block(): Block {
    const opened = this.#take();
    const { list } = this.#deeper();
    const closed = this.#expect("}");
    return { text: this.#lexer.text.slice(opened.end, closed.start), body: list };
  }

  #name(): string {
    const token = this.#take();
    if (token.kind !== "name") throw new Misplaced(token);
    return String(token.text);
  }

  #expect(kind: Token["kind"]): Token {
    const token = this.#take();
    if (token.kind !== kind) throw new Misplaced(token);
    return token;
  }

  #expectKeyword(keyword: string): void {
    const token = this.#take();
    if (token.kind !== "keyword" || token.text !== keyword) throw new Misplaced(token);
  }

  /**
   * The next token, which is read no sooner than the grammar asks for it: behind a unit lies
   * another.
   */
  #peek(): Token {
    this.#ahead ??= this.#lexer.next();
    return this.#ahead;
  }

  #take(): Token {
    const token = this.#peek();
    this.#ahead = null;
    return token;
  }
}

const COMPOUND = new Set(["if", "for", "while", "until"]);
