// @ts-nocheck
import { type GrubOption, parseGrubArguments } from "./options.ts";
import { BAD_ARGUMENT, OK } from "./status.ts";

const OPTIONS: readonly GrubOption[] = [
  ...["class", "users", "hotkey", "source", "id"].map((name): GrubOption => ({ name, letter: "", value: "needed" })),
  { name: "unrestricted", letter: "", value: "none" },
];

/** What `menuentry` and `submenu` make of their words. */
interface EntryWords {
  /** The title, and what else there is. */
  readonly args: readonly string[];
  readonly id: string | null;
  /** What is run when it is chosen, and what with. */
  readonly run: { readonly source: string; readonly args: readonly string[]; readonly setsParams: boolean };
}

/**
 * Reads the words behind `menuentry` (grub-core/commands/menuentry.c). The block in braces is the
 * last of them.
 * @returns a status where no entry comes of them
 */
export function entryWords(args: readonly string[], hasBlock: boolean): EntryWords | number {
  const parsed = parseGrubArguments(args, OPTIONS, true);
  if (typeof parsed === "string") return parsed === "help" ? OK : BAD_ARGUMENT;
  const source = parsed.options.get("source")?.at(-1);
  if (parsed.rest.length === 0 || (source !== undefined) === hasBlock) return BAD_ARGUMENT;
  const id = parsed.options.get("id")?.at(-1) ?? null;
  if (source !== undefined) return { args: parsed.rest, id, run: { source, args: parsed.rest, setsParams: false } };
  const own = parsed.rest.slice(0, -1);
  return { args: own, id, run: { source: (parsed.rest.at(-1) ?? "").slice(1, -1), args: own, setsParams: true } };
}
