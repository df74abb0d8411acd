import { isError } from "../core/errors.ts";
import { type BlsEntry, parseBlsEntry, sortAsBlscfg } from "../formats/bls.ts";
import { choose, type GrubChoice } from "../formats/grub-default.ts";
import { evaluateGrub } from "../formats/grub-menu.ts";
import type { GrubBlsEntry, GrubWorld } from "../formats/grub-world.ts";
import { parseGrubenv } from "../formats/grubenv.ts";
import type { System } from "../system/port.ts";

export interface GrubFound {
  readonly choice: GrubChoice;
  /** True where `next_entry` chose it. */
  readonly once: boolean;
  /** The folder of grub.cfg. */
  readonly folder: string;
}

const CONFIGURATION_LIMIT_BYTES = 1 << 20;
const ENTRIES_LIMIT = 200;

/** The folders with a grub.cfg: one on a machine in order. */
export async function grubFolders(power: Pick<System, "stat">): Promise<string[]> {
  const found: string[] = [];
  for (const folder of ["/boot/grub", "/boot/grub2"]) {
    if ((await power.stat(`${folder}/grub.cfg`))?.kind === "file") found.push(folder);
  }
  return found;
}

/**
 * The entry that GRUB will boot, its configuration run as GRUB runs it, with grubenv as it is on the disk now.
 * @param selector another entry than the default: number, id or title, with ">" into submenus; null for the default
 * @returns null where the menu is empty
 * @throws NightlatchError grub/malformed, bls/malformed, file/*
 */
export async function grubEntry(
  power: Pick<System, "readFile" | "listDirectory" | "stat">,
  folder: string,
  selector: string | null,
): Promise<GrubFound | null> {
  const { text, world } = await readGrub(power, folder);
  const menu = evaluateGrub(text, world);
  const choice = choose(menu, selector ?? menu.default);
  if (choice === null) return null;
  return { choice, once: selector === null && (world.environment.get("next_entry") ?? "") !== "", folder };
}

/** grub.cfg, and all that it asks for on its way to the menu, as it is on the disk now. @throws NightlatchError grub/malformed, bls/malformed, file/* */
export async function readGrub(
  power: Pick<System, "readFile" | "listDirectory" | "stat">,
  folder: string,
): Promise<{ readonly text: string; readonly world: GrubWorld }> {
  const text = (await power.readFile(`${folder}/grub.cfg`, CONFIGURATION_LIMIT_BYTES)).toString("utf8");
  const world: GrubWorld = {
    prefix: folder,
    platform: (await power.stat("/sys/firmware/efi")) === null ? "pc" : "efi",
    environment: await readEnvironment(power, folder),
    files: await readIncluded(power, folder),
    blsEntries: /\bblscfg\b/.test(text) ? await readBlsEntries(power) : [],
  };
  return { text, world };
}

async function readEnvironment(power: Pick<System, "readFile">, folder: string): Promise<Map<string, string>> {
  const block = await readOrNull(power, `${folder}/grubenv`);
  return block === null ? new Map() : parseGrubenv(block);
}

/** What grub-mkconfig's own parts include: custom.cfg of the administrator, user.cfg of Fedora. */
async function readIncluded(power: Pick<System, "readFile">, folder: string): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  for (const name of ["custom.cfg", "user.cfg"]) {
    const bytes = await readOrNull(power, `${folder}/${name}`);
    if (bytes !== null) files.set(`${folder}/${name}`, bytes.toString("utf8"));
  }
  return files;
}

async function readOrNull(power: Pick<System, "readFile">, path: string): Promise<Buffer | null> {
  try {
    return await power.readFile(path, CONFIGURATION_LIMIT_BYTES);
  } catch (error) {
    if (isError(error, "file/missing")) return null;
    throw error;
  }
}

/** GRUB's blscfg shows the entries of /boot/loader/entries, the greatest name first, and uses what stands in them unchecked. */
async function readBlsEntries(power: Pick<System, "readFile" | "listDirectory">): Promise<GrubBlsEntry[]> {
  const folder = "/boot/loader/entries";
  const names = (await power.listDirectory(folder)).filter((name) => name.endsWith(".conf")).slice(0, ENTRIES_LIMIT);
  const entries: BlsEntry[] = [];
  for (const name of names) {
    entries.push(
      parseBlsEntry(name, (await power.readFile(`${folder}/${name}`, CONFIGURATION_LIMIT_BYTES)).toString("utf8")),
    );
  }
  return sortAsBlscfg(entries).map(({ id, title, linux, initrds, options }) => ({
    id,
    title,
    kernel: linux,
    initrds,
    options,
  }));
}
