import { isError, NightlatchError } from "../../core/errors.ts";
import { type InitramfsVolume, parseInitramfsCrypttab, volumeOption } from "../../formats/initramfs/crypttab.ts";
import { findStarts, type Start } from "../../formats/systemd/boot-start.ts";
import { parseCrypttab } from "../../formats/systemd/crypttab.ts";
import { parseFstab, targetsOf } from "../../formats/systemd/fstab.ts";
import type { System } from "../../system/port.ts";
import { tryKeyFile } from "./key-file.ts";
import type { Opening, PlannedVolume, PlanPower } from "./reboot-plan.ts";
import { type FoundVolume, resolveVolume } from "./volumes.ts";

const CRYPTTAB = "/etc/crypttab";
const LIMIT_BYTES = 256 * 1024;

/**
 * The volumes of /etc/crypttab that systemd opens after the initramfs, other than those in
 * `inside`. One that may fail (nofail) and is not there does not count.
 * @throws NightlatchError reboot/blocked where one waits for a person and cannot be given a key
 */
export async function planSystemVolumes(system: PlanPower, inside: ReadonlySet<string>): Promise<PlannedVolume[]> {
  const planned: PlannedVolume[] = [];
  const starts = await readStarts(system);
  for (const entry of await crypttabVolumes(system)) {
    const start = starts.get(entry.name);
    if (inside.has(entry.name) || staysClosed(entry, start)) continue;
    const mayFail = entry.options.includes("nofail") || isFreeToFail(start);
    const found = await findUnlessMayFail(system, entry, mayFail);
    if (found === null) continue;
    planned.push({
      stage: "system",
      name: entry.name,
      found,
      mayFail,
      opening: await howItOpens(system, entry, found, mayFail),
    });
  }
  return planned;
}

async function findUnlessMayFail(
  system: PlanPower,
  { name, source, options }: InitramfsVolume,
  mayFail: boolean,
): Promise<FoundVolume | null> {
  try {
    return await resolveVolume(system, name, source, options);
  } catch (error) {
    if (mayFail && isError(error, "reboot/blocked")) return null;
    throw error;
  }
}

/**
 * With one of these systemd takes any key file for the token's sealed blob
 * (attach_luks_or_plain_or_bitlk of its cryptsetup.c).
 */
const TOKENS = ["tpm2-device", "fido2-device", "pkcs11-uri"];

async function howItOpens(
  system: PlanPower,
  entry: InitramfsVolume,
  found: FoundVolume,
  mayFail: boolean,
): Promise<Opening> {
  const { name } = entry;
  const token = TOKENS.find((option) => volumeOption(entry, option) !== null);
  if (token !== undefined) {
    return { kind: "itself", why: `its token or chip (${token}=), if that is willing: not tried`, proved: false };
  }
  const key = await keyPath(system, entry);
  if (key !== null && /^\/dev\/u?random$/.test(key)) return { kind: "itself", why: "random key", proved: true };
  const kind = key === null ? undefined : (await system.stat(key))?.kind;
  if (key !== null && kind === "socket") return { kind: "socket", path: key };
  const tried = key !== null && kind === "file" ? await tryKeyFile(system, entry, key, found) : null;
  if (tried === "opens") return { kind: "itself", why: `key file ${key}`, proved: true };
  if (tried === "in-memory") {
    return {
      kind: "itself",
      why: `key file ${key}, if it is made anew at each boot: it lies in memory`,
      proved: false,
    };
  }
  if (key === null && found.header !== null && volumeOption(entry, "keyscript") === null) return { kind: "disposable" };
  if (mayFail) return { kind: "itself", why: "not at all, or by a person: it may fail", proved: false };
  throw new NightlatchError("reboot/blocked", `${name} (${found.device}) would ask for its key at the next boot`, {
    meaning: `What ${CRYPTTAB} names for it (${key ?? entry.key}) does not open it. Nothing was changed.`,
    remedy: `Mend its line in ${CRYPTTAB}, or mark it noauto or nofail, and with it what fstab mounts from it.`,
  });
}

/**
 * Where crypttab names no key, systemd takes a file of the volume's name, if it is there
 * (crypttab(5)).
 */
async function keyPath(system: Pick<PlanPower, "stat">, { name, key }: InitramfsVolume): Promise<string | null> {
  if (key !== "none") return key;
  const usual = `/etc/cryptsetup-keys.d/${name}.key`;
  return (await system.stat(usual)) === null ? null : usual;
}

/** A noauto volume is started all the same where a line of fstab needs it. */
function staysClosed({ options }: InitramfsVolume, start: Start | undefined): boolean {
  if (start === undefined) return options.includes("noauto");
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
async function readStarts(system: Pick<System, "readFile">): Promise<Map<string, Start>> {
  const [crypttab, fstab] = [await readIfThere(system, CRYPTTAB), await readIfThere(system, "/etc/fstab")];
  const mounts = parseFstab(fstab);
  return findStarts({ crypttab: parseCrypttab(crypttab), mounts, startsRemote: true, cmdline: "" });
}

/** Every volume of the system's crypttab. @throws NightlatchError as parseInitramfsCrypttab */
export async function crypttabVolumes(system: Pick<System, "readFile">): Promise<InitramfsVolume[]> {
  return parseInitramfsCrypttab((await readIfThere(system, CRYPTTAB)).toString("utf8"), CRYPTTAB);
}

async function readIfThere(system: Pick<System, "readFile">, path: string): Promise<Buffer> {
  try {
    return await system.readFile(path, LIMIT_BYTES);
  } catch (error) {
    if (isError(error, "file/missing")) return Buffer.alloc(0);
    throw error;
  }
}
