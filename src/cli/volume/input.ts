import { NightlatchError } from "../../core/errors.ts";
import { MACHINE_STATE } from "../../core/places.ts";
import { Secret } from "../../core/secret.ts";
import type { CommandInput, Option } from "../command.ts";

/** Options that commands on volumes share. */
export const STATE_OPTION: Option = {
  name: "state",
  value: "DIR",
  help: "what this machine keeps about itself",
  default: MACHINE_STATE,
};
export const KEY_FILE_OPTION: Option = {
  name: "key-file",
  value: "FILE",
  help: "the passphrase, all of FILE, line end included; - reads standard input",
};

/** cryptsetup's own limit for a key file. */
const KEY_FILE_BYTES = 8 << 20;
/** As often as cryptsetup asks. */
export const TRIES = 3;

/**
 * An existing passphrase of the volume, from where the user said. A person may mistype it and is asked again;
 * a file or a pipe would give the same once more.
 * @param tries how often it was given and opened nothing
 * @throws NightlatchError usage/wrong (an empty one), usage/no-terminal, usage/cancelled, file/*
 */
export async function readPassphrase(input: CommandInput, device: string, tries: number): Promise<Secret | null> {
  const given = tries === 0 ? await readKeyFile(input) : null;
  if (tries > 0 && (input.options["key-file"] !== undefined || tries >= TRIES)) return null;
  if (tries > 0) input.terminal.hint("No keyslot opens with this passphrase. Try again.");
  const secret = given ?? (await input.terminal.askSecret(`Passphrase of ${device}: `));
  if (secret.lengthBytes > 0) return secret;
  throw new NightlatchError("usage/wrong", "the passphrase is empty", { meaning: "Nothing was changed." });
}

/** What `--key-file` names: a file, a pipe, or standard input; null where it is not given. @throws NightlatchError file/* */
export async function readKeyFile({ options, system, terminal }: CommandInput): Promise<Secret | null> {
  const path = options["key-file"];
  if (path === undefined) return null;
  if (isStandardInput(path)) return terminal.readInput(KEY_FILE_BYTES);
  const bytes = await system.readFile(path, KEY_FILE_BYTES);
  const secret = Secret.copy(bytes);
  bytes.fill(0);
  return secret;
}

/** By these names it could not be opened where it is a socket. */
export function isStandardInput(path: string | undefined): boolean {
  return path !== undefined && ["-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"].includes(path);
}

/** @throws NightlatchError usage/wrong */
export function parseNumber({ options }: CommandInput, name: string): number | undefined {
  const text = options[name];
  if (text === undefined) return undefined;
  if (/^\d{1,2}$/.test(text)) return Number(text);
  throw new NightlatchError("usage/wrong", `--${name} ${JSON.stringify(text.slice(0, 40))} is not a number`);
}

/** Keyslots that the owner named with --slot. */
export function namedSlots(input: CommandInput): ReadonlySet<number> {
  const slot = parseNumber(input, "slot");
  return new Set(slot === undefined ? [] : [slot]);
}

export function stateFolderOf(options: Readonly<Record<string, string>>): string {
  const folder = options["state"] ?? MACHINE_STATE;
  return folder.length > 1 && folder.endsWith("/") ? folder.slice(0, -1) : folder;
}
