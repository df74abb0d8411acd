// @ts-nocheck
import { deviceBy, deviceByUuid } from "./device.ts";
import { type GrubOption, parseGrubArguments } from "./options.ts";
import { BAD_ARGUMENT, INVALID_COMMAND, OK } from "./status.ts";

const hint = (name: string, letter = ""): GrubOption => ({ name, letter, value: "needed" });
const OPTIONS: readonly GrubOption[] = [
  { name: "file", letter: "f", value: "none" },
  { name: "label", letter: "l", value: "none" },
  { name: "fs-uuid", letter: "u", value: "none" },
  { name: "set", letter: "s", value: "optional" },
  { name: "no-floppy", letter: "n", value: "none" },
  { name: "efidisk-only", letter: "", value: "none" },
  { name: "cryptodisk-only", letter: "", value: "none" },
  hint("hint", "h"),
  ...["hint-ieee1275", "hint-bios", "hint-baremetal", "hint-efi", "hint-arc"].map((name) => hint(name)),
];

/** What `search` looks for, and where it keeps what it found. */
export interface Search {
  readonly variable: string | null;
  readonly device: string;
  /** A file system's UUID is taken to be there; a label or a file may be. */
  readonly isDoubtful: boolean;
}

/**
 * Reads the words of a `search`.
 * @returns a status where nothing is looked for (grub-core/commands/search_wrap.c)
 */
export function parseSearch(args: readonly string[]): Search | number {
  const parsed = parseGrubArguments(args, OPTIONS);
  if (parsed === "help") return OK;
  if (parsed === "refused") return BAD_ARGUMENT;
  const { options } = parsed;
  const set = options.get("set")?.at(-1);
  // Hints for platforms that this GRUB does not know yet.
  const named = parsed.rest.find((arg) => !arg.startsWith("--hint-"));
  const what = named ?? (set || undefined);
  if (what === undefined) return BAD_ARGUMENT;
  const variable = set === undefined ? null : named === undefined || set === "" ? "root" : set;
  if (options.has("label")) return { variable, device: deviceBy("label", what), isDoubtful: true };
  if (options.has("fs-uuid")) return { variable, device: deviceByUuid(what), isDoubtful: false };
  if (options.has("file")) return { variable, device: deviceBy("file", what), isDoubtful: true };
  return INVALID_COMMAND;
}

/** Reads the words of `search.fs_uuid WHAT [VARIABLE [HINT…]]` and its like. */
export function parseOldSearch(kind: "fs_uuid" | "fs_label" | "file", args: readonly string[]): Search | number {
  const [what, variable] = args;
  if (what === undefined) return BAD_ARGUMENT;
  const device = kind === "fs_uuid" ? deviceByUuid(what) : deviceBy(kind === "file" ? "file" : "label", what);
  return { variable: variable ?? null, device, isDoubtful: kind !== "fs_uuid" };
}
