// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";
import { splitCmdline } from "../loader/kernel-cmdline.ts";
import { ONESHOT_ID } from "../own/oneshot-mark.ts";
import { grubCmdline } from "./cmdline.ts";
import type { Word } from "./lexer.ts";
import { formatGrub, quoteGrub } from "./print.ts";
import { type Branch, configurationText, type Statement } from "./script.ts";
import type { GrubSource } from "./world.ts";

interface OneshotEntryRequest {
  readonly title: string;
  /** The command line to boot with. */
  readonly cmdline: string;
  /**
   * Files to load behind the entry's own initrds, as GRUB names them on the entry's file system.
   */
  readonly extra: readonly string[];
  /** Number of the top-level entry that boots if ours cannot; null where there is none. */
  readonly fallback: number | null;
}

/**
 * Writes an entry that does what another does, with more initrds. If one of these is not there, it
 * boots as the other would: GRUB goes on after an `initrd` that failed, and would boot without any.
 * If its kernel is not there, `fallback` boots.
 * @throws NightlatchError oneshot/unavailable where the other cannot be followed
 */
export function formatOneshotEntry(source: GrubSource, request: OneshotEntryRequest): string {
  if ([...source.linux.slice(0, 1), ...source.initrd].some((path) => path.startsWith("("))) {
    throw unavailable("names devices of the firmware for its kernel or initramfs");
  }
  const body = mapCommands(source.body, (command) => {
    const name = plainText(command.words[0]);
    if (/^initrd(?:16|efi)?$/.test(name)) return guarded(command, request.extra);
    if (/^linux(?:16|efi)?$/.test(name)) return withCmdline(command, source, request.cmdline);
    return command;
  });
  const words = ["menuentry", ...entryWords(source.args, request.title).map(quoteGrub)].join(" ");
  const text = `${fallbackText(request.fallback)}${words} {\n${formatGrub(body, "  ")}}\n`;
  // Lines that begin with "#" inside quotes, and carriage returns, GRUB leaves out when it reads a
  // file.
  if (configurationText(text) !== text) throw unavailable("has words that cannot stand in a file of GRUB's");
  return text;
}

/**
 * GRUB's own way out of an entry that returns (grub-core/normal/menu.c), unless the administrator
 * has one.
 */
function fallbackText(fallback: number | null): string {
  if (fallback === null) return "";
  const test = `[ "\${default}" = '${ONESHOT_ID}' -a -z "\${fallback}" ]`;
  return `if ${test}; then\n  set fallback='${fallback}'\nfi\n`;
}

/** Classes, users and further arguments stay; the title, the id and the hot key are ours. */
function entryWords(args: readonly string[], title: string): string[] {
  const kept: string[] = [];
  let isTitle = true;
  for (let at = 0; at < args.length; at++) {
    const arg = args[at] ?? "";
    if (arg === "--id" || arg === "--hotkey") at++;
    else if (/^--(?:id|hotkey)=/.test(arg)) continue;
    else if (["--class", "--users", "--source"].includes(arg)) kept.push(arg, args[++at] ?? "");
    else if (!arg.startsWith("--") && isTitle) isTitle = false;
    else kept.push(arg);
  }
  return [title, ...kept, "--id", ONESHOT_ID];
}

type Command = Extract<Statement, { kind: "command" }>;

function mapCommands(statements: readonly Statement[], map: (command: Command) => Statement): Statement[] {
  const inside = (body: readonly Statement[]) => mapCommands(body, map);
  const branch = ({ condition, body }: Branch): Branch => ({ condition, body: inside(body) });
  const mapOne = (statement: Statement): Statement => {
    switch (statement.kind) {
      case "command":
        return map(statement);
      case "if":
        return { ...statement, branches: statement.branches.map(branch), otherwise: inside(statement.otherwise) };
      case "loop":
        return { ...statement, branch: branch(statement.branch) };
      case "for":
        return { ...statement, body: inside(statement.body) };
      case "function":
        return statement;
    }
  };
  return statements.map(mapOne);
}

const bare = (text: string): Word => [{ kind: "text", text, quoted: false }];
const literal = (text: string): Word => [{ kind: "text", text, quoted: true }];
const plainText = (word: Word | undefined): string =>
  (word ?? []).map((part) => (part.kind === "text" ? part.text : "")).join("");

function guarded(command: Command, extra: readonly string[]): Statement {
  const tests = extra.flatMap((path, index) => [...(index === 0 ? [] : [bare("-a")]), bare("-f"), literal(path)]);
  const condition: Command = { kind: "command", words: [bare("["), ...tests, bare("]")], block: null };
  const more: Command = { ...command, words: [...command.words, ...extra.map(literal)] };
  return { kind: "if", branches: [{ condition: [condition], body: [more] }], otherwise: [command] };
}

/**
 * As it is written, variables and all, unless the command line is to be another: then the words of
 * it that are its own arguments.
 */
function withCmdline(command: Command, source: GrubSource, cmdline: string): Command {
  const args = source.linux.slice(1);
  if (grubCmdline(args) === cmdline) return command;
  const own = new Map(args.map((arg) => [grubCmdline([arg]), arg]));
  const words = splitCmdline(cmdline).map((word) => own.get(word) ?? withoutQuotes(word));
  return { ...command, words: [...command.words.slice(0, 2), ...words.map(literal)] };
}

/** GRUB would put quotes and backslashes into quotes of its own. */
function withoutQuotes(word: string): string {
  if (/["'\\]|[^\x20-\x7e]/.test(word)) throw unavailable("has quotes in its command line, part of which has to go");
  return word;
}

function unavailable(how: string): NightlatchError {
  return new NightlatchError("oneshot/unavailable", `GRUB's entry ${how}`, { meaning: "Nothing was changed." });
}
