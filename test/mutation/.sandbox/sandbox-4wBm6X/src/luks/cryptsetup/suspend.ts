// @ts-nocheck
import { isError } from "../../core/errors.ts";
import type { Secret } from "../../core/secret.ts";
import type { System } from "../../system/port.ts";
import { runCryptsetup } from "./cryptsetup.ts";

/** For what is written to reach the disk before the volume stands still. */
const SUSPEND_MS = 20_000;
const LOOK_MS = 5_000;
const TABLE_BYTES = 64 << 10;
const KEYS_BYTES = 1 << 20;
const ZERO = 0x30; // "0"

/**
 * Has a mapping stand still, and the kernel forget its key (cryptsetup-luksSuspend(8)).
 * @param name under /dev/mapper
 * @throws NightlatchError luks/*, system/*
 */
export async function suspendMapping(system: Pick<System, "run">, name: string): Promise<void> {
  await runCryptsetup(system, { device: name }, ["luksSuspend", name], undefined, { timeoutMs: SUSPEND_MS });
}

/**
 * Says why the kernel may still have the key of a suspended mapping; null where it is proved that
 * it has not. The kernel's own word counts: dm-crypt shows the key that it has in the mapping's
 * table, and shows zeros once it has wiped it (drivers/md/dm-crypt.c, crypt_wipe_key). A key that
 * was handed over in a keyring is named there by its description until then, and must be in no
 * keyring either.
 */
export async function whyKeyMayBeThere(
  system: Pick<System, "run" | "readFileIfPresent">,
  { name, uuid }: { readonly name: string; readonly uuid: string },
): Promise<string | null> {
  try {
    const argv = ["dmsetup", "table", "--showkeys", name] as const;
    const { status, stdout } = await system.run({ argv, timeoutMs: LOOK_MS, outputLimitBytes: TABLE_BYTES });
    const isGone = isKeyless(stdout);
    stdout.fill(0);
    if (status !== 0) return `dmsetup ended with status ${status}`;
    if (!isGone) return "the kernel's table still shows a key";
    const keys = (await system.readFileIfPresent("/proc/keys", KEYS_BYTES))?.toString("latin1") ?? "";
    return keys.includes(`cryptsetup:${uuid}`) ? "a keyring still has its key" : null;
  } catch (error) {
    if (isError(error)) return error.message;
    throw error;
  }
}

/**
 * Whether a table of the device mapper, as dmsetup prints it with its keys, has a crypt target, and
 * nothing but zeros in place of the key of each. It makes no text of what may be a key.
 */
export function isKeyless(table: Buffer): boolean {
  let targets = 0;
  for (let start = 0; start < table.length; ) {
    const newline = table.indexOf(0x0a, start);
    const end = newline < 0 ? table.length : newline;
    // START LENGTH crypt CIPHER KEY …
    const [, , type, , key] = wordsOf(table.subarray(start, end));
    if (type === undefined || type.toString("latin1") !== "crypt") return false;
    if (key === undefined || key.length < 2 || !key.every((byte) => byte === ZERO)) return false;
    targets++;
    start = end + 1;
  }
  return targets > 0;
}

function wordsOf(line: Buffer): Buffer[] {
  const words: Buffer[] = [];
  for (let at = 0; at < line.length && words.length < 5; ) {
    const space = line.indexOf(0x20, at);
    const end = space < 0 ? line.length : space;
    words.push(line.subarray(at, end));
    at = end + 1;
  }
  return words;
}

/**
 * Has a suspended mapping go on, by a passphrase, or a key of one of its keyslots.
 * @param slot the only keyslot to try; null: any
 * @throws NightlatchError luks/wrong-passphrase, luks/*, system/*
 */
export async function resumeMapping(
  system: Pick<System, "run">,
  name: string,
  slot: number | null,
  secret: Secret,
): Promise<void> {
  const which = slot === null ? [] : ["--key-slot", String(slot)];
  const tokens = ["--disable-external-tokens", "--token-type", "nightlatch-none"];
  const key = ["--key-file", "-", "--keyfile-size", String(secret.lengthBytes)];
  await runCryptsetup(system, { device: name }, ["luksResume", ...tokens, ...which, ...key, name], secret.reveal());
}
