// @ts-nocheck
import { SMALL_PROGRAM_MS } from "../core/deadlines.ts";
import { isError, NightlatchError } from "../core/errors.ts";
import { type Json, parseJson } from "../formats/json/json.ts";
import type { System } from "../system/port.ts";

/** A mount of the running system: a line of /proc/self/mountinfo. */
export interface Mount {
  readonly target: string;
  /** UUID of the file system, "" where it has none. */
  readonly uuid: string;
  /**
   * The folder of the file system that is mounted, "/" for all of it (a btrfs subvolume's is
   * another).
   */
  readonly root: string;
}

/** How a boot loader names files. */
interface BootPlace {
  /** The file system that they lie on; null where it is not known. */
  readonly fsUuid: string | null;
  /** True where paths begin at a btrfs file system's default subvolume. */
  readonly isRelative: boolean;
}

/** Where the running system sees what a boot loader names. */
export interface Seen {
  /** Paths at which it lies if it is there. */
  readonly paths: readonly string[];
  /**
   * Why it may be there without being seen, as the end of a sentence; null where it is seen if it
   * is there.
   */
  readonly blindness: string | null;
}

const OUTPUT_LIMIT_BYTES = 4 << 20;

/**
 * Lists what is mounted, by findmnt(8).
 * @throws NightlatchError system/missing-program, boot/unsupported
 */
export async function listMounts(system: Pick<System, "run">): Promise<Mount[]> {
  const argv = ["findmnt", "--json", "--list", "--real", "--output", "TARGET,UUID,FSROOT"] as const;
  const { status, stdout } = await system.run({
    argv,
    timeoutMs: SMALL_PROGRAM_MS,
    outputLimitBytes: OUTPUT_LIMIT_BYTES,
  });
  if (status !== 0) throw new NightlatchError("boot/unsupported", `findmnt ended with status ${status}`);
  const document = parseJson(stdout, "findmnt's output", { lengthBytes: OUTPUT_LIMIT_BYTES });
  return rowsOf(document, "filesystems").map((row) => ({
    target: textOf(row, "target"),
    uuid: textOf(row, "uuid"),
    root: textOf(row, "fsroot") || "/",
  }));
}

function rowsOf(document: Json, name: string): { readonly [key: string]: Json }[] {
  const rows = isObject(document) ? document[name] : null;
  return Array.isArray(rows) ? rows.filter(isObject) : [];
}

const isObject = (value: Json | undefined): value is { readonly [key: string]: Json } =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const textOf = (row: { readonly [key: string]: Json }, name: string): string => {
  const value = row[name];
  return typeof value === "string" ? value : "";
};

/**
 * Finds where the running system sees a file that a boot loader names. With a file system's UUID it
 * is on that one, wherever it is mounted. Without, it is under the root, /boot, or the EFI system
 * partition, whichever has it first.
 * @throws NightlatchError boot/not-mounted, boot/unsupported, boot/no-entry
 */
export async function locateBootFile(
  system: Pick<System, "stat" | "run">,
  mounts: readonly Mount[],
  path: string,
  place: BootPlace,
): Promise<string> {
  const seen = await placesOf(system, mounts, path, place);
  for (const candidate of seen.paths) {
    if ((await factsOrNull(system, candidate))?.kind === "file") return candidate;
  }
  if (seen.blindness === null) throw missing(path);
  throw new NightlatchError(
    place.fsUuid === null ? "boot/no-entry" : "boot/not-mounted",
    `the boot entry's ${path} is not seen: ${seen.blindness}`,
    {
      meaning: "Whether the next boot finds it cannot be told from here. Nothing was changed.",
      remedy: "Mount what is missing (often /boot or /boot/efi), or pass --kernel and --initrd.",
    },
  );
}

/**
 * Lists where the running system would see a file that a boot loader names, whether it is there or
 * not.
 * @throws NightlatchError boot/unsupported where the file system's name says nothing here,
 * boot/no-entry
 */
export async function placesOf(
  system: Pick<System, "run">,
  mounts: readonly Mount[],
  path: string,
  { fsUuid, isRelative }: BootPlace,
): Promise<Seen> {
  const absolute = `/${path.replace(/^\/+/, "")}`;
  if (absolute.split("/").includes("..")) throw missing(path);
  if (fsUuid === null) {
    const paths = ["", "/boot", "/boot/efi", "/efi"].map((folder) => folder + absolute);
    return { paths, blindness: "the boot loader does not say by a UUID on which file system it is" };
  }
  const on = mounts.filter((mount) => mount.uuid.toLowerCase() === fsUuid.toLowerCase());
  const [first] = on;
  if (first === undefined) {
    if (/^[0-9a-f]{16}$/i.test(fsUuid)) throw namedOtherwise(path, fsUuid);
    return { paths: [], blindness: `no file system with the UUID ${fsUuid} is mounted` };
  }
  const start = isRelative ? await defaultSubvolume(system, on) : "";
  const paths = on.flatMap((mount) => under(mounts, mount, `${start}${absolute}`));
  if (paths.length > 0) return { paths, blindness: null };
  return {
    paths,
    blindness: `of the file system ${fsUuid} that part is not mounted in which ${start}${absolute} lies`,
  };
}

/**
 * Where a path of a mount's file system is seen through it; nowhere where it lies beside what is
 * mounted, or beneath another mount.
 */
function under(mounts: readonly Mount[], mount: Mount, path: string): string[] {
  const prefix = mount.root === "/" ? "" : mount.root;
  if (!path.startsWith(`${prefix}/`)) return [];
  const seen = `${mount.target === "/" ? "" : mount.target}${path.slice(prefix.length)}`;
  return mountOf(mounts, seen)?.target === mount.target ? [seen] : [];
}

/**
 * Finds the mount on which a path lies; what is mounted later hides what was there. Undefined where
 * there is none.
 */
export function mountOf(mounts: readonly Mount[], path: string): Mount | undefined {
  const holds = ({ target }: Mount) => target === "/" || path === target || path.startsWith(`${target}/`);
  const longest = Math.max(...mounts.filter(holds).map(({ target }) => target.length));
  return mounts.findLast((mount) => holds(mount) && mount.target.length === longest);
}

/**
 * The subvolume of btrfs at which GRUB's paths begin: the default one. It is what btrfs(8) says, or
 * without that program what is mounted as the root, which was the default when it was mounted.
 */
async function defaultSubvolume(system: Pick<System, "run">, on: readonly Mount[]): Promise<string> {
  const mount = on.find(({ target }) => target === "/") ?? on[0];
  if (mount === undefined) return "";
  try {
    const { status, stdout } = await system.run({
      argv: ["btrfs", "subvolume", "get-default", mount.target],
      timeoutMs: SMALL_PROGRAM_MS,
    });
    const said = stdout.toString("utf8").trim();
    if (status === 0 && /^ID 5 \(FS_TREE\)/.test(said)) return "";
    const at = said.indexOf(" path ");
    if (status === 0 && at >= 0) return `/${said.slice(at + " path ".length)}`;
  } catch (error) {
    if (!isError(error, "system/missing-program")) throw error;
  }
  return mount.root === "/" ? "" : mount.root;
}

async function factsOrNull(system: Pick<System, "stat">, path: string) {
  try {
    return await system.stat(path);
  } catch (error) {
    if (isError(error, "file/denied") || isError(error, "file/io")) return null;
    throw error;
  }
}

function missing(path: string): NightlatchError {
  return new NightlatchError("boot/no-entry", `the boot entry's ${path} is not there`, {
    meaning: "The machine's next boot would fail as well. Nothing was changed.",
    remedy: "Mend the boot loader's configuration (update-grub or grub2-mkconfig), or pass --kernel and --initrd.",
  });
}

/** ZFS and NTFS have names in GRUB that the running system does not show. */
function namedOtherwise(path: string, fsUuid: string): NightlatchError {
  return new NightlatchError(
    "boot/unsupported",
    `the boot entry's ${path} is on ${fsUuid}, which is a ZFS pool's number or an NTFS's: neither is followed`,
    {
      meaning: "Whether the next boot finds it cannot be told from here. Nothing was changed.",
      remedy: "Name what to boot: --kernel, --initrd and --cmdline.",
    },
  );
}
