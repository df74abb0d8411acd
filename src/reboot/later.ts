import { isError, NightlatchError } from "../core/errors.ts";
import { parseInitramfsCrypttab, volumeOption } from "../formats/initramfs-crypttab.ts";
import type { PlannedVolume, PlanPower } from "./planned.ts";
import { resolveVolume } from "./volumes.ts";

const CRYPTTAB = "/etc/crypttab";
const LIMIT_BYTES = 256 * 1024;

/**
 * The volumes of /etc/crypttab that systemd opens after the initramfs, other than those in `inside`.
 * @throws NightlatchError reboot/blocked where one waits for a person and cannot be given a key
 */
export async function laterVolumes(power: PlanPower, inside: ReadonlySet<string>): Promise<PlannedVolume[]> {
  const planned: PlannedVolume[] = [];
  for (const entry of parseInitramfsCrypttab(await readCrypttab(power), CRYPTTAB)) {
    if (inside.has(entry.name) || entry.options.includes("noauto")) continue;
    const { name, source, key, options } = entry;
    const found = await resolveVolume(power, name, source, options);
    const why = key === "none" ? null : await whyItself(power, key);
    if (why !== null) planned.push({ name, found, line: null, opening: { kind: "itself", why } });
    else if (found.header !== null && key === "none" && volumeOption(entry, "keyscript") === null) {
      planned.push({ name, found, line: null, opening: { kind: "disposable" } });
    } else {
      throw new NightlatchError("reboot/blocked", `${name} (${found.device}) would ask for its key at the next boot`, {
        meaning: `What ${CRYPTTAB} names for it (${key}) is not there, or it is no LUKS volume. Nothing was changed.`,
        remedy: `Mend its line in ${CRYPTTAB}, or mark it noauto.`,
      });
    }
  }
  return planned;
}

async function readCrypttab(power: PlanPower): Promise<string> {
  try {
    return (await power.readFile(CRYPTTAB, LIMIT_BYTES)).toString("utf8");
  } catch (error) {
    if (isError(error, "file/missing")) return "";
    throw error;
  }
}

async function whyItself(power: PlanPower, key: string): Promise<string | null> {
  if (/^\/dev\/u?random$/.test(key)) return "random key";
  const kind = (await power.stat(key))?.kind;
  if (kind === "file") return `key file ${key}`;
  if (kind === "socket") return `key socket ${key}`;
  return null;
}
