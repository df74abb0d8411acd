import { SMALL_PROGRAM_MS } from "../core/deadlines.ts";
import { isError, NightlatchError } from "../core/errors.ts";
import { type Json, parseJson } from "../formats/json.ts";
import type { System } from "../system/port.ts";

export interface Mount {
  readonly target: string;
  /** UUID of the file system, "" where it has none. */
  readonly uuid: string;
  /** The folder of the file system that is mounted, "/" for all of it (a btrfs subvolume's is another). */
  readonly root: string;
}

const OUTPUT_LIMIT_BYTES = 4 << 20;

/** What is mounted, by findmnt(8). @throws NightlatchError system/missing-program, boot/unsupported */
export async function listMounts(power: Pick<System, "run">): Promise<Mount[]> {
  const argv = ["findmnt", "--json", "--list", "--real", "--output", "TARGET,UUID,FSROOT"] as const;
  const { status, stdout } = await power.run({
    argv,
    deadlineMs: SMALL_PROGRAM_MS,
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
 * Where the running system sees a file that a boot loader names. With a file system's UUID: on that one, wherever it is mounted.
 * Without: under the root, /boot, or the EFI system partition, whichever has it first.
 * @throws NightlatchError boot/not-mounted, boot/no-entry
 */
export async function locateBootFile(
  power: Pick<System, "stat">,
  mounts: readonly Mount[],
  path: string,
  fsUuid: string | null,
): Promise<string> {
  const absolute = `/${path.replace(/^\/+/, "")}`;
  if (absolute.split("/").includes("..")) throw missing(path);
  const on = fsUuid === null ? [] : mounts.filter((mount) => mount.uuid.toLowerCase() === fsUuid.toLowerCase());
  if (fsUuid !== null && on.length === 0) {
    throw new NightlatchError(
      "boot/not-mounted",
      `the boot entry's ${path} is on file system ${fsUuid}, which is not mounted`,
      {
        meaning: "Nothing was changed.",
        remedy: `Mount it (often /boot or /boot/efi): mount UUID=${fsUuid} …`,
      },
    );
  }
  const candidates =
    fsUuid === null
      ? ["", "/boot", "/boot/efi", "/efi"].map((folder) => folder + absolute)
      : on.flatMap((mount) => under(mount, absolute));
  for (const candidate of candidates) {
    if ((await factsOrNull(power, candidate))?.kind === "file") return candidate;
  }
  throw missing(path);
}

function under(mount: Mount, path: string): string[] {
  const prefix = mount.root === "/" ? "" : mount.root;
  if (!path.startsWith(`${prefix}/`)) return [];
  return [`${mount.target === "/" ? "" : mount.target}${path.slice(prefix.length)}`];
}

async function factsOrNull(power: Pick<System, "stat">, path: string) {
  try {
    return await power.stat(path);
  } catch (error) {
    if (isError(error, "file/denied") || isError(error, "file/io")) return null;
    throw error;
  }
}

function missing(path: string): NightlatchError {
  return new NightlatchError("boot/no-entry", `the boot entry's ${path} is not there`, {
    meaning: "The machine's next boot would fail as well. Nothing was changed.",
    remedy: "Mend the boot loader's configuration (update-grub), or pass --kernel and --initrd.",
  });
}
