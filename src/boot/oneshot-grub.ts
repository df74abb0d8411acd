import { dirname } from "node:path";
import { isError, NightlatchError } from "../core/errors.ts";
import { addToCustom, type CustomPart, findInCustom } from "../formats/grub-custom.ts";
import { choose } from "../formats/grub-default.ts";
import { runGrub } from "../formats/grub-menu.ts";
import { formatOneshotEntry } from "../formats/grub-oneshot.ts";
import { fallbackOf, whyNotOnce } from "../formats/grub-oneshot-check.ts";
import type { GrubEntry, GrubLinux } from "../formats/grub-world.ts";
import { parseGrubenv } from "../formats/grubenv.ts";
import { paddingBeforeOverlay } from "../formats/initramfs.ts";
import { ONESHOT_ID, type OneshotMark } from "../formats/oneshot-mark.ts";
import type { BootEntry } from "./entry.ts";
import { type FileSystem, fileSystemOf, pathOnFileSystem } from "./file-system.ts";
import { grubFolders, readGrub } from "./grub.ts";
import { requireGrubWrites } from "./grub-writes.ts";
import { oneshotFiles, writeOneshotFiles } from "./oneshot-files.ts";
import { mustRun, type OneshotLoader, type OneshotPower, unavailable } from "./oneshot-loader.ts";
import { requireRoom, rootOf } from "./oneshot-place.ts";

const LIMIT_BYTES = 1 << 20;
const TEMPORARY = /^custom\.cfg\.[0-9a-f]{12}\.tmp$/;
const customOf = (folder: string): string => `${folder}/custom.cfg`;
const environmentOf = (folder: string): string => `${folder}/grubenv`;
/** grub2-… on the families that keep /boot/grub2. */
const editenvOf = (folder: string): string => (folder.endsWith("2") ? "grub2-editenv" : "grub-editenv");

/** GRUB: an entry of ours in custom.cfg, chosen once by `next_entry` in grubenv, as grub-reboot(8) chooses. */
export const grubOneshot: OneshotLoader = {
  name: "GRUB",

  async prepare(power, { entry, cmdline, initrdBytes }) {
    const [folder] = await grubFolders(power);
    if (folder === undefined) throw unavailable("there is no grub.cfg");
    await requireGrubWrites(power, folder);
    const custom = await readOwnCustom(power, folder);
    if (custom !== null && findInCustom(custom) !== null) {
      throw new NightlatchError("oneshot/left-over", `${customOf(folder)} still holds an entry of ours`);
    }
    const { text, world } = await readGrub(power, folder);
    const run = runGrub(text, world);
    const other = choose(run.menu, entry.id)?.entry;
    if (other === undefined || other.linux === null || other.source === null) {
      throw unavailable(
        `the entry ${JSON.stringify(entry.title)} does not stand in grub.cfg (GRUB with BLS entries)`,
        "Use kexec (nightlatch reboot --via kexec), or boot with systemd-boot.",
      );
    }
    const place = await placeOf(power, folder, entry, other.linux);
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
    await requireRoom(power, place.root);
    return {
      loader: "GRUB",
      overlay: files.overlay,
      fileSystem: place.fileSystem,
      arm: async (overlay, validity, lock) => {
        await writeOneshotFiles(power, place.root, paddingBeforeOverlay(initrdBytes), overlay);
        const mode = (await power.stat(customOf(folder)))?.mode ?? 0o600;
        await power.writeFile(customOf(folder), customWith(validity), mode);
        await mustRun(power, [editenvOf(folder), environmentOf(folder), "set", `next_entry=${ONESHOT_ID}`], lock);
        await requireChosen(power, folder, expected);
      },
    };
  },

  async find(power) {
    for (const folder of await grubFolders(power)) {
      const part = await findPart(power, folder);
      const isChosen = (await choiceOf(power, folder)) === ONESHOT_ID;
      const temporary = await temporaries(power, folder);
      if (part === null && !isChosen && temporary.length === 0) continue;
      return { entry: part === null ? null : customOf(folder), mark: part?.mark ?? null, isChosen };
    }
    return null;
  },

  async unchoose(power) {
    let wasChosen = false;
    for (const folder of await grubFolders(power)) {
      if ((await choiceOf(power, folder)) !== ONESHOT_ID) continue;
      wasChosen = true;
      const before = (await findPart(power, folder))?.mark?.before ?? null;
      const change =
        before === null || before === ONESHOT_ID ? ["unset", "next_entry"] : ["set", `next_entry=${before}`];
      await mustRun(power, [editenvOf(folder), environmentOf(folder), ...change]);
      if ((await choiceOf(power, folder)) === ONESHOT_ID) throw stays(environmentOf(folder));
    }
    return wasChosen;
  },

  async removeEntry(power) {
    const gone: string[] = [];
    for (const folder of await grubFolders(power)) {
      for (const name of await temporaries(power, folder)) await power.removeFile(`${folder}/${name}`);
      const part = await findPart(power, folder);
      if (part === null) continue;
      const mode = (await power.stat(customOf(folder)))?.mode ?? 0o600;
      if (part.rest === null) await power.removeFile(customOf(folder));
      else await power.writeFile(customOf(folder), part.rest, mode);
      if ((await findPart(power, folder)) !== null) throw stays(customOf(folder));
      gone.push(customOf(folder));
    }
    return gone;
  },
};

const withoutChoice = (environment: ReadonlyMap<string, string>): Map<string, string> =>
  new Map([...environment].filter(([name]) => name !== "next_entry"));

async function readOrNull(power: Pick<OneshotPower, "readFile">, path: string): Promise<Buffer | null> {
  try {
    return await power.readFile(path, LIMIT_BYTES);
  } catch (error) {
    if (isError(error, "file/missing")) return null;
    throw error;
  }
}

async function findPart(power: Pick<OneshotPower, "readFile">, folder: string): Promise<CustomPart | null> {
  const custom = await readOrNull(power, customOf(folder));
  return custom === null ? null : findInCustom(custom);
}

async function choiceOf(power: Pick<OneshotPower, "readFile">, folder: string): Promise<string | null> {
  const block = await readOrNull(power, environmentOf(folder));
  try {
    return block === null ? null : (parseGrubenv(block).get("next_entry") ?? null);
  } catch (error) {
    if (isError(error, "grub/malformed")) return null; // GRUB takes no choice from it either
    throw error;
  }
}

/** What a write that was cut off left beside custom.cfg. */
async function temporaries(power: Pick<OneshotPower, "listDirectory">, folder: string): Promise<string[]> {
  return (await power.listDirectory(folder)).filter((name) => TEMPORARY.test(name));
}

/** custom.cfg as it is, or null; one that could not be put back as it was is refused. */
async function readOwnCustom(power: OneshotPower, folder: string): Promise<Buffer | null> {
  const path = customOf(folder);
  const facts = await power.stat(path);
  if (facts === null) return null;
  const { status, stdout } = await power.run({
    argv: ["find", path, "-maxdepth", "0", "-type", "f"],
    deadlineMs: 10_000,
  });
  if (status !== 0 || stdout.length === 0) throw unavailable(`${path} is a link`, "Put the file itself there.");
  if (facts.uid !== 0 || facts.gid !== 0)
    throw unavailable(`${path} does not belong to root`, `Run: chown 0:0 ${path}`);
  return power.readFile(path, LIMIT_BYTES);
}

/** Where the entry's initrds lie, and that GRUB looks there for ours, too. */
async function placeOf(
  power: OneshotPower,
  folder: string,
  entry: BootEntry,
  linux: GrubLinux,
): Promise<{ readonly fileSystem: FileSystem; readonly root: string }> {
  const last = entry.initrds.at(-1);
  if (last === undefined) throw unavailable("the entry has no initramfs, to which the keys could be added");
  const fileSystem = await fileSystemOf(power, dirname(last.path));
  const there =
    linux.fsUuid === null
      ? (await fileSystemOf(power, folder)).target === fileSystem.target
      : linux.fsUuid.toLowerCase() === fileSystem.uuid.toLowerCase();
  const named = linux.initrds.map((path) => `/${path.replace(/^\/+/, "")}`);
  const seen = entry.initrds.map(({ path }) => pathOnFileSystem(fileSystem, path));
  if (!there || JSON.stringify(named) !== JSON.stringify(seen)) {
    throw unavailable("where GRUB finds the entry's initramfs cannot be told from where it is mounted");
  }
  return { fileSystem, root: await rootOf(power, fileSystem) };
}

/** The disk as it is now, run as GRUB will run it. */
async function requireChosen(power: OneshotPower, folder: string, expected: GrubLinux): Promise<void> {
  const { text, world } = await readGrub(power, folder);
  const extra = expected.initrds.slice(-2).map((path) => [path, "present"] as const);
  const menu = runGrub(text, { ...world, files: new Map([...world.files, ...extra]) }).menu;
  const entry: GrubEntry | undefined = choose(menu, menu.default)?.entry;
  if (entry?.id === ONESHOT_ID && JSON.stringify(entry.linux?.initrds) === JSON.stringify(expected.initrds)) return;
  throw new NightlatchError("oneshot/failed", "GRUB would not take the one-time entry that was written", {
    meaning: "It is taken back.",
  });
}

function stays(path: string): NightlatchError {
  return new NightlatchError("oneshot/left-over", `our part of ${path} could not be taken out`, {
    meaning: "The next boot may take an entry whose keys open nothing, and asks for the passphrase then.",
    remedy: "Run again: nightlatch oneshot disarm",
  });
}
