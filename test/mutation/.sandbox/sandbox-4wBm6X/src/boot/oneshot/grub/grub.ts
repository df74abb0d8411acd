// @ts-nocheck
import { dirname } from "node:path";
import { isError, NightlatchError } from "../../../core/errors.ts";
import { addToCustom, findInCustom } from "../../../formats/grub/custom-cfg.ts";
import { choose } from "../../../formats/grub/default-entry.ts";
import { parseGrubenv } from "../../../formats/grub/grubenv.ts";
import { runGrub } from "../../../formats/grub/menu.ts";
import { formatOneshotEntry } from "../../../formats/grub/one-time-entry.ts";
import { fallbackOf, whyNotOnce } from "../../../formats/grub/one-time-entry-check.ts";
import type { GrubEntry, GrubLinux } from "../../../formats/grub/world.ts";
import { paddingBeforeOverlay } from "../../../formats/initramfs/initramfs.ts";
import { ONESHOT_ID, type OneshotMark } from "../../../formats/own/oneshot-mark.ts";
import { type FileSystem, fileSystemOf, pathOnFileSystem } from "../../../host/file-system.ts";
import type { BootEntry } from "../../entry/entry.ts";
import { grubFolders, readGrub } from "../../entry/grub/configuration.ts";
import { GRUB_FILE_LIMIT_BYTES } from "../../entry/grub/files.ts";
import { oneshotFiles, writeOneshotFiles } from "../files.ts";
import { mustRun, type OneshotLoader, type OneshotPower, settle, unavailable } from "../loader.ts";
import { bootRootOf, requireBootRoom } from "../place.ts";
import {
  customMode,
  customOf,
  findPart,
  readOwnCustom,
  removePart,
  requireUnchanged,
  stays,
  temporaries,
} from "./custom-file.ts";
import { requireGrubWrites } from "./writes.ts";

const environmentOf = (folder: string): string => `${folder}/grubenv`;
/** grub2-… on the families that keep /boot/grub2. */
const editenvOf = (folder: string): string => (folder.endsWith("2") ? "grub2-editenv" : "grub-editenv");

/**
 * GRUB: an entry of ours in custom.cfg, chosen once by `next_entry` in grubenv, as grub-reboot(8)
 * chooses.
 */
export const grubOneshot: OneshotLoader = {
  name: "GRUB",
  source: "grub",

  async prepare(system, { entry, cmdline, initrdBytes }) {
    const [folder] = await grubFolders(system);
    if (folder === undefined) throw unavailable("there is no grub.cfg");
    await requireGrubWrites(system, folder);
    const custom = await readOwnCustom(system, folder);
    if (custom !== null && findInCustom(custom) !== null) {
      throw new NightlatchError("oneshot/left-over", `${customOf(folder)} still holds an entry of ours`);
    }
    const { text, world } = await readGrub(system, folder);
    const run = runGrub(text, world);
    const other = choose(run.menu, entry.id)?.entry;
    if (other === undefined || other.linux === null || other.source === null) {
      throw unavailable(
        `the entry ${JSON.stringify(entry.title)} does not stand in grub.cfg (GRUB with BLS entries)`,
        "Use kexec (nightlatch reboot --via kexec), or boot with systemd-boot.",
      );
    }
    const place = await placeOf(system, folder, entry, other.linux);
    const files = oneshotFiles(place.root);
    const extra = [files.pad, files.overlay].map((path) => String(pathOnFileSystem(place.fileSystem, path)));
    const default_ = runGrub(text, { ...world, environment: withoutChoice(world.environment) }).menu;
    const part = formatOneshotEntry(other.source, {
      title: `Nightlatch, this boot only: ${other.title}`,
      cmdline,
      extra,
      fallback: fallbackOf(default_),
    });
    const customWith = (validity: Pick<OneshotMark, "boot" | "expires">) => {
      const before = world.environment.get("next_entry") ?? null;
      return addToCustom(custom, { ...validity, overlay: files.overlay, before }, part);
    };
    const draft = customWith({ boot: "0".repeat(36), expires: 0 }).toString("utf8");
    const expected: GrubLinux = { ...other.linux, initrds: [...other.linux.initrds, ...extra], options: cmdline };
    const obstacle = whyNotOnce({ text, world, custom: draft, expected, extra });
    if (obstacle !== null) throw unavailable(obstacle, `See ${folder}/grub.cfg and ${customOf(folder)}.`);
    await requireBootRoom(system, place.root);
    return {
      loader: "GRUB",
      overlay: files.overlay,
      fileSystem: place.fileSystem,
      arm: async (overlay, validity, lock) => {
        await writeOneshotFiles(system, place.root, paddingBeforeOverlay(initrdBytes), overlay);
        await requireUnchanged(system, folder, custom);
        await system.writeFile(customOf(folder), customWith(validity), await customMode(system, folder));
        await settle(system, folder);
        await mustRun(system, [editenvOf(folder), environmentOf(folder), "set", `next_entry=${ONESHOT_ID}`], lock);
        await settle(system, folder);
        await requireChosen(system, folder, expected);
      },
    };
  },

  async find(system) {
    for (const folder of await grubFolders(system)) {
      const part = await findPart(system, folder);
      const isChosen = (await choiceOf(system, folder)) === ONESHOT_ID;
      const temporary = await temporaries(system, folder);
      if (part === null && !isChosen && temporary.length === 0) continue;
      return { entry: part === null ? null : customOf(folder), mark: part?.mark ?? null, isChosen };
    }
    return null;
  },

  async unchoose(system) {
    let wasChosen = false;
    for (const folder of await grubFolders(system)) {
      if ((await choiceOf(system, folder)) !== ONESHOT_ID) continue;
      wasChosen = true;
      const before = await beforeOurs(system, folder);
      const change =
        before === null || before === ONESHOT_ID ? ["unset", "next_entry"] : ["set", `next_entry=${before}`];
      await mustRun(system, [editenvOf(folder), environmentOf(folder), ...change]);
      if ((await choiceOf(system, folder)) === ONESHOT_ID) throw stays(environmentOf(folder));
      await settle(system, folder);
    }
    return wasChosen;
  },

  async removeEntry(system) {
    const gone: string[] = [];
    for (const folder of await grubFolders(system)) {
      if (await removePart(system, folder)) gone.push(`our part of ${customOf(folder)}`);
    }
    return gone;
  },
};

const withoutChoice = (environment: ReadonlyMap<string, string>): Map<string, string> =>
  new Map([...environment].filter(([name]) => name !== "next_entry"));

/** The choice that ours took the place of, if our entry can still be made out. */
async function beforeOurs(system: OneshotPower, folder: string): Promise<string | null> {
  try {
    return (await findPart(system, folder))?.mark?.before ?? null;
  } catch (error) {
    if (isError(error, "oneshot/malformed")) return null;
    throw error;
  }
}

async function choiceOf(system: Pick<OneshotPower, "readFileIfPresent">, folder: string): Promise<string | null> {
  const block = await system.readFileIfPresent(environmentOf(folder), GRUB_FILE_LIMIT_BYTES);
  try {
    return block === null ? null : (parseGrubenv(block).get("next_entry") ?? null);
  } catch (error) {
    if (isError(error, "grub/malformed")) return null; // GRUB takes no choice from it either
    throw error;
  }
}

/** Where the entry's initrds lie, and that GRUB looks there for ours, too. */
async function placeOf(
  system: OneshotPower,
  folder: string,
  entry: BootEntry,
  linux: GrubLinux,
): Promise<{ readonly fileSystem: FileSystem; readonly root: string }> {
  const last = entry.initrds.at(-1);
  if (last === undefined) throw unavailable("the entry has no initramfs, to which the keys could be added");
  const fileSystem = await fileSystemOf(system, dirname(last.path));
  const there =
    linux.fsUuid === null
      ? (await fileSystemOf(system, folder)).target === fileSystem.target
      : linux.fsUuid.toLowerCase() === fileSystem.uuid.toLowerCase();
  const named = linux.initrds.map((path) => `/${path.replace(/^\/+/, "")}`);
  const seen = entry.initrds.map(({ path }) => pathOnFileSystem(fileSystem, path));
  if (!there || JSON.stringify(named) !== JSON.stringify(seen)) {
    throw unavailable("where GRUB finds the entry's initramfs cannot be told from where it is mounted");
  }
  return { fileSystem, root: await bootRootOf(system, fileSystem) };
}

/** The disk as it is now, run as GRUB will run it. */
async function requireChosen(system: OneshotPower, folder: string, expected: GrubLinux): Promise<void> {
  const { text, world } = await readGrub(system, folder);
  const extra = expected.initrds.slice(-2).map((path) => [path, "present"] as const);
  const menu = runGrub(text, { ...world, files: new Map([...world.files, ...extra]) }).menu;
  const entry: GrubEntry | undefined = choose(menu, menu.default)?.entry;
  if (entry?.id === ONESHOT_ID && JSON.stringify(entry.linux?.initrds) === JSON.stringify(expected.initrds)) return;
  throw new NightlatchError("oneshot/failed", "GRUB would not take the one-time entry that was written", {
    meaning: "It is taken back.",
  });
}
