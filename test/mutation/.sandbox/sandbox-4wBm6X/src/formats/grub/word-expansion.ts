// @ts-nocheck
import { TOKEN_WORK, unknown, type WorkBudget } from "./budget.ts";
import type { Word } from "./lexer.ts";

/**
 * Makes of the words of a command what GRUB makes of them (grub_script_arglist_to_argv in
 * grub-core/script/execute.c). Unquoted variables split at white space, and a word of nothing but
 * empty ones vanishes.
 * @param values of a variable: more than one where it splits
 * @throws NightlatchError grub/unknown for names of files by a pattern, and for translations
 */
export function expandWords(
  words: readonly Word[],
  values: (name: string, quoted: boolean) => readonly string[],
  budget: WorkBudget,
): string[] {
  const line = new Line(budget);
  for (const word of words) {
    line.next();
    for (const part of word) {
      if (part.kind === "translated") throw unknown(`has a text that GRUB translates (${part.text.slice(0, 40)})`);
      if (part.kind === "text") {
        if (part.quoted || part.text !== "") line.append(part.text, part.quoted ? "none" : "all");
        continue;
      }
      for (const [index, value] of values(part.name, part.quoted).entries()) {
        if (index > 0) line.next();
        line.append(value, part.quoted ? "none" : "unescaped");
      }
    }
  }
  return line.done();
}

/** Splits the value of a variable that is not quoted into its words. */
export function splitValue(value: string): string[] {
  return value.split(/[ \t\r\n]/).filter((piece) => piece !== "");
}

/**
 * Which of a text's `*` and `?` stand for other characters: those of a variable do unless a
 * backslash stands before.
 */
type Wildcards = "none" | "all" | "unescaped";

class Line {
  readonly #done: string[] = [];
  readonly #budget: WorkBudget;
  #current: string | null = null;
  #isPattern = false;
  #startsWithStar = false;

  constructor(budget: WorkBudget) {
    this.#budget = budget;
  }

  /** Begins a word, unless the last one is still without anything. */
  next(): void {
    this.#budget.spend(1);
    if (this.#current === null) return;
    // GRUB looks for files where a word is a path (commands/wildcard.c), if its module regexp is
    // there.
    if (this.#isPattern && (/^[/(]/.test(this.#current) || this.#startsWithStar))
      throw unknown(`names files by a pattern (${this.#current.slice(0, 40)})`);
    this.#done.push(this.#current);
    this.#current = null;
    this.#isPattern = false;
    this.#startsWithStar = false;
  }

  append(text: string, wildcards: Wildcards): void {
    this.#budget.spend(TOKEN_WORK / 2 + text.length);
    const found = wildcards === "all" ? /[*?]/.exec(text) : wildcards === "unescaped" ? /(?<!\\)[*?]/.exec(text) : null;
    if (found !== null) {
      this.#isPattern = true;
      if ((this.#current ?? "") === "" && found.index === 0 && text[0] === "*") this.#startsWithStar = true;
    }
    this.#current = (this.#current ?? "") + text;
  }

  done(): string[] {
    this.next();
    return this.#done;
  }
}
