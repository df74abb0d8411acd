// @ts-nocheck
import type { Word, WordPart } from "./lexer.ts";
import type { Branch, Statement } from "./script.ts";

/**
 * Writes text as one word of GRUB's script, in single quotes, in which nothing is special
 * (grub-core/script/yylex.l).
 */
export function quoteGrub(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/**
 * Writes statements as text that parses to the same statements again, one statement a line. It ends
 * in a newline.
 */
export function formatGrub(statements: readonly Statement[], indent = ""): string {
  return statements.map((statement) => `${indent}${formatStatement(statement, indent)}\n`).join("");
}

function formatStatement(statement: Statement, indent: string): string {
  const block = (body: readonly Statement[]) => formatGrub(body, `${indent}  `);
  switch (statement.kind) {
    case "command": {
      const line = statement.words.map(formatWord).join(" ");
      return statement.block === null ? line : `${line} {\n${block(statement.block.body)}${indent}}`;
    }
    case "if": {
      const branches = statement.branches.map(
        (branch, index) => `${index === 0 ? "if" : `${indent}elif`} ${branchText(branch, "then", block)}`,
      );
      const otherwise = statement.otherwise.length === 0 ? "" : `${indent}else\n${block(statement.otherwise)}`;
      return `${branches.join("")}${otherwise}${indent}fi`;
    }
    case "loop":
      return `${statement.until ? "until" : "while"} ${branchText(statement.branch, "do", block)}${indent}done`;
    case "for":
      return `for ${statement.name} in ${statement.words.map(formatWord).join(" ")}; do\n${block(statement.body)}${indent}done`;
    case "function":
      return `function ${statement.name} {\n${block(statement.body)}${indent}}`;
  }
}

function branchText(
  { condition, body }: Branch,
  opener: string,
  block: (body: readonly Statement[]) => string,
): string {
  const tested = condition.map((statement) => formatStatement(statement, "")).join("; ");
  return `${tested}; ${opener}\n${block(body)}`;
}

/** Characters that stand for themselves outside quotes, in every place of a word. */
const PLAIN = /^[A-Za-z0-9_.,/:=+@%^~*?![\]()-]+$/;

function formatWord(word: Word): string {
  const runs: WordPart[] = [];
  for (const part of word) {
    const last = runs.at(-1);
    if (part.kind === "text" && last?.kind === "text" && last.quoted === part.quoted)
      runs[runs.length - 1] = { ...last, text: last.text + part.text };
    else runs.push(part);
  }
  return runs.map(formatPart).join("");
}

function formatPart(part: WordPart): string {
  if (part.kind === "translated") return `$${part.text}`;
  if (part.kind === "variable") return part.quoted ? `"\${${part.name}}"` : `\${${part.name}}`;
  return !part.quoted && PLAIN.test(part.text) ? part.text : quoteGrub(part.text);
}
