// @ts-nocheck
import { type ErrorCode, isError } from "../../../core/errors.ts";
import { unknown } from "../../../formats/grub/budget.ts";
import { choose, type GrubChoice } from "../../../formats/grub/default-entry.ts";
import { type EnvironmentFile, readGrubenv } from "../../../formats/grub/grubenv.ts";
import { runGrub } from "../../../formats/grub/menu.ts";
import { type GrubBlsEntry, type GrubFileKind, GrubTrace, type GrubWorld } from "../../../formats/grub/world.ts";
import { type BlsEntry, parseBlsEntry, sortAsBlscfg } from "../../../formats/loader/bls.ts";
import type { System } from "../../../system/port.ts";
import { GRUB_FILE_LIMIT_BYTES, GrubFiles } from "./files.ts";

type Power = Pick<System, "run" | "readFile" | "readFileIfPresent" | "listDirectory" | "stat">;

interface GrubFound {
  readonly choice: GrubChoice;
  /** True where `next_entry` chose it. */
  readonly once: boolean;
  /** The folder of grub.cfg. */
  readonly folder: string;
}

const ENTRIES_LIMIT = 200;
const ROUNDS = 8;
const ASKED_LIMIT = 500;

/**
 * Lists the folders with a grub.cfg; a machine in order has one. On UEFI those on the EFI system
 * partition count too, where RHEL 8 has its own. Other systems have a few lines there that lead to
 * the one in /boot; such a folder counts only where there is no other.
 * @throws NightlatchError file/*
 */
export async function grubFolders(system: Pick<System, "stat" | "readFile" | "listDirectory">): Promise<string[]> {
  const found: string[] = [];
  for (const folder of ["/boot/grub", "/boot/grub2"]) {
    if ((await system.stat(`${folder}/grub.cfg`))?.kind === "file") found.push(folder);
  }
  if ((await system.stat("/sys/firmware/efi")) === null) return found;
  const leading: string[] = [];
  for (const esp of ["/boot/efi/EFI", "/efi/EFI"]) {
    for (const name of await system.listDirectory(esp)) {
      const text = await textOrNull(system, `${esp}/${name}/grub.cfg`);
      if (text === null) continue;
      const isWhole = text.includes("menuentry") || text.includes("blscfg");
      (isWhole ? found : leading).push(`${esp}/${name}`);
    }
  }
  return found.length > 0 ? found : leading;
}

async function textOrNull(system: Pick<System, "stat" | "readFile">, path: string): Promise<string | null> {
  if ((await system.stat(path))?.kind !== "file") return null;
  return (await system.readFile(path, GRUB_FILE_LIMIT_BYTES)).toString("utf8");
}

/**
 * Finds the entry that GRUB will boot. Its configuration is run as GRUB runs it, with grubenv as it
 * is on the disk now. Null where the menu is empty.
 * @param selector another entry than the default: its number, id or title, with ">" into submenus
 * @throws NightlatchError grub/malformed, grub/unknown, bls/malformed, file/*
 */
export async function grubEntry(system: Power, folder: string, selector: string | null): Promise<GrubFound | null> {
  const { text, world } = await readGrub(system, folder);
  const trace = new GrubTrace();
  const choice = chooseIn(text, world, selector, trace);
  if (trace.doubts.size > 0) {
    const other = chooseIn(text, { ...world, doubtsFail: true }, selector, new GrubTrace());
    if (!isSame(choice, other))
      throw unknown(`depends on what may fail: ${[...trace.doubts].join(", ").slice(0, 200)}`);
  }
  if (choice === null) return null;
  return { choice, once: selector === null && (world.environment.get("next_entry") ?? "") !== "", folder };
}

function chooseIn(text: string, world: GrubWorld, selector: string | null, trace: GrubTrace): GrubChoice | null {
  const { menu } = runGrub(text, world, trace);
  const choice = choose(menu, selector ?? menu.default, selector === null ? undefined : "person");
  // Doubts that come up in the entry itself belong to the answer.
  void choice?.entry.linux;
  if (selector !== null || menu.rules === "fedora" || world.prefix === "/boot/grub") return choice;
  // Without BLS entries, Fedora's GRUB and SUSE's look alike, and read a default in two ways.
  if (!isSame(choice, choose(runGrub(text, world).menu, menu.default, "fedora")))
    throw unknown(`has a default that GRUBs read in different ways (${menu.default.slice(0, 60)})`);
  return choice;
}

const isSame = (left: GrubChoice | null, right: GrubChoice | null): boolean =>
  left?.path === right?.path && JSON.stringify(left?.entry.linux) === JSON.stringify(right?.entry.linux);

/**
 * Reads grub.cfg as it is on the disk now, and all that it asks for on its way to the menu and in
 * its entries.
 * @throws NightlatchError grub/malformed, grub/unknown, bls/malformed, file/*
 */
export async function readGrub(
  system: Power,
  folder: string,
): Promise<{ readonly text: string; readonly world: GrubWorld }> {
  const text = (await system.readFile(`${folder}/grub.cfg`, GRUB_FILE_LIMIT_BYTES)).toString("utf8");
  const start = {
    prefix: folder,
    platform: (await system.stat("/sys/firmware/efi")) === null ? "pc" : "efi",
    ...(await readEnvironment(system, folder)),
  } as const;
  const finder = new GrubFiles(system, folder);
  const files = new Map<string, string>();
  const other = new Map<string, GrubFileKind>();
  const known = new Set<string>();
  let blsEntries: GrubBlsEntry[] | null = null;
  for (let round = 0; round < ROUNDS; round++) {
    if (blsEntries === null && [text, ...files.values()].some((one) => one.includes("blscfg")))
      blsEntries = await readBlsEntries(system);
    const world: GrubWorld = { ...start, files, other, blsEntries: blsEntries ?? [] };
    const fresh = [...askedIn(text, world)].filter((key) => !known.has(key));
    if (fresh.length === 0) return { text, world };
    for (const key of fresh) {
      known.add(key);
      const found = await finder.find(key);
      if (found === null) continue;
      if ("text" in found) files.set(key, found.text);
      else other.set(key, found.kind);
    }
    if (known.size > ASKED_LIMIT) break;
  }
  throw unknown("asks for more files, or from file to file, than are followed");
}

/** The files that it asks for, as far as is known which those are. */
function askedIn(text: string, world: GrubWorld): ReadonlySet<string> {
  const asked = new Set<string>();
  for (const doubtsFail of [false, true]) {
    const trace = new GrubTrace();
    ignoring(["grub/unknown"], () => {
      const { menu } = runGrub(text, { ...world, doubtsFail }, trace);
      for (const entry of menu.entries) ignoring(["grub/unknown", "grub/malformed"], () => void entry.linux);
      ignoring(["grub/unknown", "grub/malformed"], () => void choose(menu, menu.default)?.entry.linux);
    });
    for (const key of trace.asked) asked.add(key);
  }
  return asked;
}

/** Who asks what it boots is told of errors then, with all files there. */
function ignoring(codes: readonly ErrorCode[], run: () => void): void {
  try {
    run();
  } catch (error) {
    if (!codes.some((code) => isError(error, code))) throw error;
  }
}

async function readEnvironment(system: Pick<System, "readFileIfPresent">, folder: string): Promise<EnvironmentFile> {
  return readGrubenv(await system.readFileIfPresent(`${folder}/grubenv`, GRUB_FILE_LIMIT_BYTES));
}

/**
 * GRUB's blscfg shows the entries of /boot/loader/entries, the greatest name first, and uses what
 * stands in them unchecked.
 */
async function readBlsEntries(system: Pick<System, "readFile" | "listDirectory">): Promise<GrubBlsEntry[]> {
  const folder = "/boot/loader/entries";
  const names = (await system.listDirectory(folder)).filter((name) => name.endsWith(".conf")).slice(0, ENTRIES_LIMIT);
  const entries: BlsEntry[] = [];
  for (const name of names) {
    entries.push(
      parseBlsEntry(name, (await system.readFile(`${folder}/${name}`, GRUB_FILE_LIMIT_BYTES)).toString("utf8")),
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
