// @ts-nocheck
import type { System } from "../system/port.ts";

/** A LUKS volume that is open: a mapping of the kernel's device mapper. */
export interface LuksMapping {
  /** The kernel's name of it, as `dm-3`. */
  readonly kernelName: string;
  /** Its name under /dev/mapper. */
  readonly name: string;
  /** The volume's UUID, lower case. */
  readonly uuid: string;
  /** The device that its data lies on; null where the kernel names none, or several. */
  readonly device: string | null;
}

const BLOCK = "/sys/block";
const FILE_BYTES = 4096;

/**
 * Lists the LUKS volumes that are open, by sysfs: no program is run, and no device touched.
 * @throws NightlatchError file/*
 */
export async function listLuksMappings(
  system: Pick<System, "listDirectory" | "readFileIfPresent">,
): Promise<LuksMapping[]> {
  const found: LuksMapping[] = [];
  for (const kernelName of await system.listDirectory(BLOCK)) {
    if (!/^dm-\d+$/.test(kernelName)) continue;
    const name = await readLine(system, `${BLOCK}/${kernelName}/dm/name`);
    // cryptsetup's own form: CRYPT-LUKS2-<UUID without dashes>-<name>.
    const [, digits] = /^CRYPT-LUKS[12]-([0-9a-f]{32})-/i.exec(await readLine(system, uuidPath(kernelName))) ?? [];
    if (digits === undefined || name === "") continue;
    const below = await system.listDirectory(`${BLOCK}/${kernelName}/slaves`);
    const [only] = below;
    const device = below.length === 1 && only !== undefined ? `/dev/${only.replaceAll("!", "/")}` : null;
    found.push({ kernelName, name, uuid: withDashes(digits.toLowerCase()), device });
  }
  return found;
}

const uuidPath = (kernelName: string) => `${BLOCK}/${kernelName}/dm/uuid`;

/** Whether a mapping is suspended now: whatever reads or writes it waits. */
export async function isSuspended(
  system: Pick<System, "readFileIfPresent">,
  { kernelName }: Pick<LuksMapping, "kernelName">,
): Promise<boolean> {
  return (await readLine(system, `${BLOCK}/${kernelName}/dm/suspended`)) === "1";
}

async function readLine(system: Pick<System, "readFileIfPresent">, path: string): Promise<string> {
  return ((await system.readFileIfPresent(path, FILE_BYTES))?.toString("latin1") ?? "").replace(/\n$/, "");
}

function withDashes(digits: string): string {
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
