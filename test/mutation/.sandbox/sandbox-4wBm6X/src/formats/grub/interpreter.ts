// @ts-nocheck
import { TOKEN_WORK, unknown, type WorkBudget } from "./budget.ts";
import { commandKind } from "./commands.ts";
import type { Word } from "./lexer.ts";
import { type Block, configurationText, type Statement, type Unit, UnitReader } from "./script.ts";
import { BAD_ARGUMENT, OK, TEST_FAILURE } from "./status.ts";
import type { Variables } from "./variables.ts";
import { expandWords, splitValue } from "./word-expansion.ts";

/** Nothing more runs: the machine boots, goes elsewhere, or shows another menu. */
export class Ended extends Error {}

/** A command that is known. Returns its status. @throws NightlatchError, Ended */
export type Builtin = (args: readonly string[], block: Block | null) => number;

/** What a function, or an entry, was called with. */
interface Scope {
  args: readonly string[];
}

/** A function of a script, and how many calls of it are being run. */
export interface GrubFunction {
  readonly body: readonly Statement[];
  executing: number;
}

/**
 * GRUB's script as it is run, after grub-core/script/execute.c. `break`, `continue` and `return`
 * are flags there that outlive what they were meant for in places, and so they do here.
 */
export class Interpreter {
  variables: Variables;
  scope: Scope | null = null;
  isContinue = false;
  activeLoops = 0n;
  activeBreaks = 0n;
  functionReturn = false;
  readonly functions: Map<string, GrubFunction>;
  readonly #builtin: (name: string) => Builtin | null;
  readonly #budget: WorkBudget;

  constructor(
    variables: Variables,
    functions: ReadonlyMap<string, GrubFunction>,
    builtin: (name: string) => Builtin | null,
    budget: WorkBudget,
  ) {
    this.variables = variables;
    this.functions = new Map(functions);
    this.#builtin = builtin;
    this.#budget = budget;
  }

  /** A file, of which each unit is run before the next is read. */
  runFile(text: string): void {
    this.#budget.spend(text.length);
    const reader = new UnitReader(configurationText(text), this.#budget);
    for (let unit = reader.next(); unit !== null; unit = reader.next()) this.#unit(unit);
  }

  /** The body of an entry, or the text of `eval`: nothing of it runs behind an error. */
  runText(text: string): number {
    this.#budget.spend(text.length);
    const reader = new UnitReader(text, this.#budget);
    let status = OK;
    for (let unit = reader.next(); unit !== null; unit = reader.next()) {
      status = this.#unit(unit);
      if (unit.kind === "error") break;
    }
    return status;
  }

  #unit(unit: Unit): number {
    const statements = unit.kind === "error" ? unit.functions : unit.statements;
    for (const statement of statements) if (statement.kind === "function") this.#define(statement.name, statement.body);
    if (unit.kind === "error") return OK;
    const rest = statements.filter((statement) => statement.kind !== "function");
    return rest.length === 0 ? OK : this.#setStatus(this.#list(rest));
  }

  #define(name: string, body: readonly Statement[]): void {
    this.#budget.spend(TOKEN_WORK);
    if ((this.functions.get(name)?.executing ?? 0) > 0)
      throw unknown(`defines the function ${name} anew while it runs`);
    this.functions.set(name, { body, executing: 0 });
  }

  #list(statements: readonly Statement[]): number {
    let status = OK;
    for (const statement of statements) {
      if (this.activeBreaks > 0n) break;
      status = this.#setStatus(this.#one(statement));
      if (this.functionReturn) break;
    }
    return status;
  }

  #setStatus(status: number): number {
    this.variables.set("?", String(status));
    return status;
  }

  #one(statement: Statement): number {
    this.#budget.spend(TOKEN_WORK);
    switch (statement.kind) {
      case "command":
        return this.#command(statement.words, statement.block);
      case "if":
        return this.#if(statement);
      case "for":
        return this.#for(statement);
      case "loop":
        return this.#loop(statement);
      case "function":
        return OK;
    }
  }

  #if({ branches, otherwise }: Extract<Statement, { kind: "if" }>): number {
    for (const { condition, body } of branches) {
      const status = this.#setStatus(this.#list(condition));
      if (this.functionReturn) return status;
      if (status === OK) return this.#setStatus(this.#list(body));
    }
    return otherwise.length === 0 ? OK : this.#setStatus(this.#list(otherwise));
  }

  #for({ name, words, body }: Extract<Statement, { kind: "for" }>): number {
    if (words.length === 0) return OK;
    const values = this.#expand(words);
    this.activeLoops++;
    let status = OK;
    for (const value of values) {
      this.#budget.spend(TOKEN_WORK);
      if (this.isContinue && this.activeBreaks === 1n) this.activeBreaks = 0n;
      if (this.activeBreaks > 0n) continue;
      this.variables.set(name, value);
      status = this.#setStatus(this.#list(body));
      if (this.functionReturn) break;
    }
    this.#leaveLoop();
    return status;
  }

  #loop({ until, branch }: Extract<Statement, { kind: "loop" }>): number {
    this.activeLoops++;
    let status = OK;
    for (;;) {
      this.#budget.spend(TOKEN_WORK);
      status = this.#setStatus(this.#list(branch.condition));
      if (this.functionReturn || (status === OK) === until) break;
      status = this.#setStatus(this.#list(branch.body));
      if (this.functionReturn) break;
      if (this.isContinue && this.activeBreaks === 1n) this.activeBreaks = 0n;
      if (this.activeBreaks > 0n) break;
    }
    this.#leaveLoop();
    return status;
  }

  #leaveLoop(): void {
    if (this.activeBreaks > 0n) this.activeBreaks--;
    this.activeLoops--;
  }

  #command(words: readonly Word[], block: Block | null): number {
    const args = this.#expand(words);
    if (block !== null) {
      this.#budget.spend(block.text.length);
      args.push(`{${block.text}}`);
    }
    const [first, second] = args;
    if (first === undefined) return OK;
    if (first !== "!") return this.#named(first, args.slice(1), block) ?? OK;
    if (second === undefined) return BAD_ARGUMENT;
    const status = this.#named(second, args.slice(2), block);
    if (status === null) return OK;
    return status === OK ? TEST_FAILURE : OK;
  }

  /**
   * Null where it is neither a command nor a function, which GRUB does not turn around for a "!".
   */
  #named(name: string, args: readonly string[], block: Block | null): number | null {
    const builtin = this.#builtin(name);
    if (builtin !== null) return builtin(args, block);
    const found = this.functions.get(name);
    if (found !== undefined) return this.#call(found, args);
    const equals = name.indexOf("=");
    if (equals >= 0) {
      const variable = name.slice(0, equals);
      if (!/^[0-9]/.test(variable) && !"#*@".includes(variable || " "))
        this.variables.set(variable, name.slice(equals + 1));
    } else if (commandKind(name) !== "no command") throw notFollowed(name);
    return null;
  }

  #call(called: GrubFunction, args: readonly string[]): number {
    const { scope, activeLoops } = this;
    this.activeLoops = 0n;
    this.scope = { args };
    called.executing++;
    const status = this.#budget.deeper(() => this.#setStatus(this.#list(called.body)));
    called.executing--;
    this.functionReturn = false;
    this.activeLoops = activeLoops;
    this.scope = scope;
    return status;
  }

  #expand(words: readonly Word[]): string[] {
    return expandWords(words, (name, quoted) => this.#values(name, quoted), this.#budget);
  }

  /** The words that a variable stands for: none where there is nothing in it. */
  #values(name: string, quoted: boolean): readonly string[] {
    if (!/^[0-9#*@]/.test(name)) {
      const value = this.variables.get(name) ?? "";
      this.#budget.spend(value.length);
      if (quoted) return value === "" ? [] : [value];
      return splitValue(value);
    }
    const args = this.scope?.args;
    if (args === undefined) return [];
    const wanted = name === "#" ? [String(args.length)] : /[*@]/.test(name) ? args : nth(args, name);
    for (const value of wanted) this.#budget.spend(1 + value.length);
    if (!quoted) return wanted.flatMap(splitValue);
    return name === "*" && args.length > 0 ? [args.join(" ")] : wanted;
  }
}

function nth(args: readonly string[], number: string): readonly string[] {
  const arg = args[Number(number) - 1];
  return arg === undefined ? [] : [arg];
}

/** Makes the error for a command that is not followed here. */
export function notFollowed(name: string): Error {
  return unknown(`calls ${JSON.stringify(name.slice(0, 40))}, of which it is not known here what it does`);
}
