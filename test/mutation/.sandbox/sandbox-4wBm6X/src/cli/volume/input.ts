// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";
import { MACHINE_STATE } from "../../core/places.ts";
import { Secret } from "../../core/secret.ts";
import type { System } from "../../system/port.ts";
import type { CommandInput, Option, Terminal } from "../command.ts";

/** `--state`, of every command that looks at volumes. */
export const STATE_OPTION = {
  value: "DIR",
  help: "what this machine keeps about itself",
  default: MACHINE_STATE,
} as const satisfies Option;

/** `--key-file`, of every command that changes a volume. */
export const KEY_FILE_OPTION = {
  value: "FILE",
  help: "the passphrase, all of FILE, line end included; - reads standard input",
} as const satisfies Option;

/** What every command has that changes a volume. */
export type VolumeInput = Omit<
  CommandInput<{ readonly "key-file": typeof KEY_FILE_OPTION; readonly state: typeof STATE_OPTION }>,
  "operands"
>;

/** cryptsetup's own limit for a key file. */
const KEY_FILE_BYTES = 8 << 20;
/** As often as cryptsetup asks. */
export const TRIES = 3;

/**
 * An existing passphrase of the volume, from where the user said. A person may mistype it and is
 * asked again; a file or a pipe would give the same once more. Null where it is of no use to ask.
 * @param tries how often it was given and opened nothing
 * @throws NightlatchError usage/wrong (an empty one), usage/no-terminal, usage/cancelled, file/*
 */
export async function readPassphrase(
  { options, system, terminal }: VolumeInput,
  device: string,
  tries: number,
): Promise<Secret | null> {
  const keyFile = options["key-file"];
  const given = tries === 0 ? await readKeyFile(keyFile, system, terminal) : null;
  if (tries > 0 && (keyFile !== undefined || tries >= TRIES)) return null;
  if (tries > 0) terminal.hint("No keyslot opens with this passphrase. Try again.");
  const secret = given ?? (await terminal.askSecret(`Passphrase of ${device}: `));
  if (secret.lengthBytes > 0) return secret;
  throw new NightlatchError("usage/wrong", "the passphrase is empty", { meaning: "Nothing was changed." });
}

/**
 * What `--key-file` names: a file, a pipe, or standard input; null where it is not given.
 * @throws NightlatchError file/*
 */
export async function readKeyFile(
  path: string | undefined,
  system: Pick<System, "readFile">,
  terminal: Pick<Terminal, "readInput">,
): Promise<Secret | null> {
  if (path === undefined) return null;
  if (isStandardInput(path)) return terminal.readInput(KEY_FILE_BYTES);
  const bytes = await system.readFile(path, KEY_FILE_BYTES);
  const secret = Secret.copy(bytes);
  bytes.fill(0);
  return secret;
}

/**
 * Whether a path is a name of standard input, by which that could not be opened where it is a
 * socket.
 */
export function isStandardInput(path: string | undefined): boolean {
  return path !== undefined && ["-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"].includes(path);
}

/**
 * The number that an option was given; undefined where it was not given.
 * @throws NightlatchError usage/wrong
 */
export function parseNumber(name: "slot" | "token", text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^\d{1,2}$/.test(text)) return Number(text);
  throw new NightlatchError("usage/wrong", `--${name} ${JSON.stringify(text.slice(0, 40))} is not a number`);
}

/** The keyslots that the owner named with --slot. @throws NightlatchError usage/wrong */
export function namedSlots(text: string | undefined): ReadonlySet<number> {
  const slot = parseNumber("slot", text);
  return new Set(slot === undefined ? [] : [slot]);
}

/** The folder that `--state` names, without a slash at its end. */
export function stateFolderOf(folder: string): string {
  return folder.length > 1 && folder.endsWith("/") ? folder.slice(0, -1) : folder;
}
