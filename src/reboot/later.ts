import { isError, NightlatchError } from "../core/errors.ts";
import { Secret } from "../core/secret.ts";
import { type InitramfsVolume, parseInitramfsCrypttab, volumeOption } from "../formats/initramfs-crypttab.ts";
import { findSlotOpenedBy } from "../luks/keyslots.ts";
import type { System } from "../system/port.ts";
import type { PlannedVolume, PlanPower } from "./planned.ts";
import { type FoundVolume, resolveVolume } from "./volumes.ts";

const CRYPTTAB = "/etc/crypttab";
const LIMIT_BYTES = 256 * 1024;
const KEY_LIMIT_BYTES = 8 << 20;

/**
 * The volumes of /etc/crypttab that systemd opens after the initramfs, other than those in `inside`. One that may fail (nofail) and
 * is not there does not count.
 * @throws NightlatchError reboot/blocked where one waits for a person and cannot be given a key
 */
export async function laterVolumes(power: PlanPower, inside: ReadonlySet<string>): Promise<PlannedVolume[]> {
  const planned: PlannedVolume[] = [];
  for (const entry of await crypttabVolumes(power)) {
    if (inside.has(entry.name) || entry.options.includes("noauto")) continue;
    const found = await findUnlessMayFail(power, entry);
    if (found !== null)
      planned.push({ name: entry.name, found, line: null, opening: await howItOpens(power, entry, found) });
  }
  return planned;
}

async function findUnlessMayFail(
  power: PlanPower,
  { name, source, options }: InitramfsVolume,
): Promise<FoundVolume | null> {
  try {
    return await resolveVolume(power, name, source, options);
  } catch (error) {
    if (options.includes("nofail") && isError(error, "reboot/blocked")) return null;
    throw error;
  }
}

async function howItOpens(
  power: PlanPower,
  entry: InitramfsVolume,
  found: FoundVolume,
): Promise<PlannedVolume["opening"]> {
  const { name, key, options } = entry;
  if (/^\/dev\/u?random$/.test(key)) return { kind: "itself", why: "random key" };
  const kind = key === "none" ? null : (await power.stat(key))?.kind;
  if (kind === "socket") return { kind: "itself", why: `key socket ${key}, not tried` };
  if (kind === "file" && (await keyFileOpens(power, entry, found))) return { kind: "itself", why: `key file ${key}` };
  if (key === "none" && found.header !== null && volumeOption(entry, "keyscript") === null)
    return { kind: "disposable" };
  if (options.includes("nofail")) return { kind: "itself", why: "not at all, or by a person: it may fail" };
  throw new NightlatchError("reboot/blocked", `${name} (${found.device}) would ask for its key at the next boot`, {
    meaning: `What ${CRYPTTAB} names for it (${key}) does not open it. Nothing was changed.`,
    remedy: `Mend its line in ${CRYPTTAB}, or mark it noauto or nofail.`,
  });
}

/** Tried, unless the line says that only a part of the file is the key, or it is no LUKS volume. */
async function keyFileOpens(
  power: PlanPower,
  { key, options }: InitramfsVolume,
  { device, header }: FoundVolume,
): Promise<boolean> {
  if (header === null || options.some((option) => option.startsWith("keyfile-"))) return true;
  using content = Secret.take(await power.readFile(key, KEY_LIMIT_BYTES));
  return (await findSlotOpenedBy(power, { device }, header, content)) !== null;
}

/** Every volume of the system's crypttab. @throws NightlatchError as parseInitramfsCrypttab */
export async function crypttabVolumes(power: Pick<System, "readFile">): Promise<InitramfsVolume[]> {
  return parseInitramfsCrypttab(await readCrypttab(power), CRYPTTAB);
}

async function readCrypttab(power: Pick<System, "readFile">): Promise<string> {
  try {
    return (await power.readFile(CRYPTTAB, LIMIT_BYTES)).toString("utf8");
  } catch (error) {
    if (isError(error, "file/missing")) return "";
    throw error;
  }
}
