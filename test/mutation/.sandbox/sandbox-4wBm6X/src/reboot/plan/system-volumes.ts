// @ts-nocheck
import { isError, NightlatchError } from "../../core/errors.ts";
import { findStarts, type Start } from "../../formats/systemd/boot-start.ts";
import {
  type Crypttab,
  type CrypttabEntry,
  devicePathOf,
  findOption,
  isStartedByHand,
  mayFail as mayFailByLine,
} from "../../formats/systemd/crypttab.ts";
import { isRandomKey } from "../../formats/systemd/crypttab-places.ts";
import { targetsOf } from "../../formats/systemd/fstab.ts";
import { findKey, readCrypttab, SYSTEM_CRYPTTAB } from "../../host/crypttab.ts";
import { readFstab } from "../../host/fstab.ts";
import type { System } from "../../system/port.ts";
import { tryKeyFile } from "./key-file.ts";
import type { Opening, PlannedVolume, PlanPower } from "./reboot-plan.ts";
import { type FoundVolume, resolveVolume } from "./volumes.ts";

/**
 * The volumes of /etc/crypttab that systemd opens after the initramfs, other than those in
 * `inside`. One that may fail (nofail) and is not there does not count.
 * @throws NightlatchError reboot/blocked where one waits for a person and cannot be given a key
 */
export async function planSystemVolumes(system: PlanPower, inside: ReadonlySet<string>): Promise<PlannedVolume[]> {
  const planned: PlannedVolume[] = [];
  const crypttab = await readCrypttab(system);
  const starts = await readStarts(system, crypttab);
  for (const entry of crypttab.entries) {
    const start = starts.get(entry.volume);
    if (inside.has(entry.volume) || staysClosed(entry, start)) continue;
    const mayFail = mayFailByLine(entry) || isFreeToFail(start);
    const found = await findUnlessMayFail(system, entry, mayFail);
    if (found === null) continue;
    planned.push({
      name: entry.volume,
      found,
      stage: "system",
      mayFail,
      opening: await howItOpens(system, entry, found, mayFail),
    });
  }
  return planned;
}

async function findUnlessMayFail(
  system: PlanPower,
  entry: CrypttabEntry,
  mayFail: boolean,
): Promise<FoundVolume | null> {
  const { volume, device } = entry;
  try {
    return await resolveVolume(system, volume, device, wordsOf(entry), devicePathOf(device));
  } catch (error) {
    if (mayFail && isError(error, "reboot/blocked")) return null;
    throw error;
  }
}

const wordsOf = ({ options }: CrypttabEntry): string[] =>
  options.map(({ name, value }) => (value === null ? name : `${name}=${value}`));

/**
 * With one of these systemd takes any key file for the token's sealed blob
 * (attach_luks_or_plain_or_bitlk of its cryptsetup.c).
 */
const TOKENS = ["tpm2-device", "fido2-device", "pkcs11-uri"];

async function howItOpens(
  system: PlanPower,
  entry: CrypttabEntry,
  found: FoundVolume,
  mayFail: boolean,
): Promise<Opening> {
  const token = TOKENS.find((option) => findOption(entry, option) !== undefined);
  if (token !== undefined) {
    return { kind: "itself", why: `its token or chip (${token}=), if that is willing: not tried`, proved: false };
  }
  if (isRandomKey(entry.key)) return { kind: "itself", why: "random key", proved: true };
  const key = await findKey(system, entry);
  if (key?.kind === "socket") return { kind: "socket", path: key.path };
  const tried = key?.kind === "file" ? await tryKeyFile(system, { options: wordsOf(entry) }, key.path, found) : null;
  // What lies in /run now is gone at the next boot, which has the key that it is given in its
  // place.
  const isFree = key === null || tried === "in-memory";
  const isGiven = entry.key === null && found.header !== null && findOption(entry, "keyscript") === undefined;
  if (isFree && isGiven) return { kind: "disposable" };
  if (tried === "opens") return { kind: "itself", why: `key file ${key?.path}`, proved: true };
  if (tried === "in-memory") {
    return {
      kind: "itself",
      why: `key file ${key?.path}, if it is made anew at each boot: it lies in memory`,
      proved: false,
    };
  }
  if (mayFail) return { kind: "itself", why: "not at all, or by a person: it may fail", proved: false };
  const named = key?.path ?? entry.key ?? "none";
  throw new NightlatchError(
    "reboot/blocked",
    `${entry.volume} (${found.device}) would ask for its key at the next boot`,
    {
      meaning: `What ${SYSTEM_CRYPTTAB} names for it (${named}) does not open it. Nothing was changed.`,
      remedy: `Mend its line in ${SYSTEM_CRYPTTAB}, or mark it noauto or nofail, and with it what fstab mounts from it.`,
    },
  );
}

/** A noauto volume is started all the same where a line of fstab needs it. */
function staysClosed(entry: CrypttabEntry, start: Start | undefined): boolean {
  if (start === undefined) return isStartedByHand(entry);
  return start.by === "hand" || start.by === "use";
}

/** Where only a mount starts it, the boot goes on without it if it does without the mount. */
function isFreeToFail(start: Start | undefined): boolean {
  return start?.by === "mount" && start.mount !== null && !targetsOf(start.mount).isRequired;
}

/**
 * What starts each volume; remote-cryptsetup.target and the command line may add to it, and count
 * as if they did.
 */
async function readStarts(system: Pick<System, "readFileIfPresent">, crypttab: Crypttab): Promise<Map<string, Start>> {
  return findStarts({ crypttab, mounts: await readFstab(system), startsRemote: true, cmdline: "" });
}
