/**
 * The manual page: packaging/man/nightlatch.1 with @COMMANDS@ replaced by what the command tables
 * say, @VERSION@ by the version and @DATE@ by the day of SOURCE_DATE_EPOCH.
 */
// @ts-nocheck

import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "../src/cli/command.ts";
import { commandTables } from "./completion.ts";
import { fillMarks } from "./marks.ts";

type Table = Pick<Command, "name" | "summary" | "operands" | "options" | "details">;

export interface Edition {
  readonly version: string;
  /** YYYY-MM-DD */
  readonly date: string;
}

/** @throws Error when the prose lacks a mark */
export function manualPage(prose: string, tables: readonly Table[], edition: Edition): string {
  const commands = tables.map(section).join("");
  return fillMarks(prose, { "@COMMANDS@\n": commands, "@VERSION@": edition.version, "@DATE@": edition.date });
}

/** One command: a subsection with its usage, what it does, its options, and the further help. */
function section(table: Table): string {
  const usage = [
    `\\fBnightlatch ${literal(table.name)}\\fR`,
    table.operands && operands(table.operands),
    "[\\fIoptions\\fR]",
  ];
  const lines = [`.SS "${literal(table.name)}"`, usage.filter(Boolean).join(" "), ".PP", text(sentence(table.summary))];
  for (const [name, option] of Object.entries(table.options)) {
    const value = option.value === undefined ? "" : ` \\fI${literal(option.value)}\\fR`;
    const fallback = option.default === undefined ? "" : ` (default \\fI${literal(option.default)}\\fR)`;
    const short = option.short === undefined ? "" : `\\fB\\-${literal(option.short)}\\fR, `;
    lines.push(".TP", `${short}\\fB\\-\\-${literal(name)}\\fR${value}`, sentence(`${text(option.help)}${fallback}`));
  }
  if (table.details !== undefined) lines.push(...details(table.details));
  return `${lines.join("\n")}\n`;
}

/**
 * Paragraphs are filled; a list of terms becomes one; any other that is indented is shown as it
 * stands.
 */
function details(help: string): string[] {
  return help.split(/\n\s*\n/).flatMap((paragraph) => {
    const lines = paragraph.split("\n").filter((line) => line.trim() !== "");
    if (lines.length === 0) return [];
    if (!lines.every((line) => line.startsWith("  "))) return [".PP", ...lines.map((line) => text(line.trim()))];
    if (lines.every((line) => TERM.test(line) || line.startsWith("    "))) return lines.flatMap(listLine);
    return [".PP", ".RS 4", ".EX", ...lines.map((line) => text(line.slice(2))), ".EE", ".RE"];
  });
}

/** A term, two blanks or more, and what it means; or what it means goes on. */
const TERM = /^ {2}(\S+) {2,}(\S.*)$/;

function listLine(line: string): string[] {
  const [, term, meaning] = TERM.exec(line) ?? [];
  if (term === undefined || meaning === undefined) return [text(line.trim())];
  return [".TP", `\\fB${literal(term)}\\fR`, text(meaning)];
}

const operands = (usage: string): string =>
  usage
    .split(" ")
    .map((word) => (/^[^a-z]*$/.test(word) ? `\\fI${literal(word)}\\fR` : literal(word)))
    .join(" ");

/** Help texts are clauses; a page has sentences. */
function sentence(clause: string): string {
  const capital = clause.charAt(0).toUpperCase() + clause.slice(1);
  return /[.!?]$/.test(capital) ? capital : `${capital}.`;
}

/** Running text: nothing in it is a request or an escape. */
export function text(plain: string): string {
  const escaped = plain.replaceAll("\\", "\\e").replaceAll(/--(?=[a-z])/g, "\\-\\-");
  return /^[.']/.test(escaped) ? `\\&${escaped}` : escaped;
}

/** What a user types: hyphens stay ASCII. */
const literal = (plain: string): string =>
  plain.replaceAll("\\", "\\e").replaceAll("-", "\\-").replaceAll('"', "\\(dq");

/** The page for this checkout. `epochSeconds`: SOURCE_DATE_EPOCH. */
export async function buildManual(version: string, epochSeconds: number): Promise<string> {
  const prose = readFileSync(join(import.meta.dirname, "../packaging/man/nightlatch.1"), "utf8");
  const date = new Date(epochSeconds * 1000).toISOString().slice(0, 10);
  return manualPage(prose, await commandTables(), { version, date });
}
