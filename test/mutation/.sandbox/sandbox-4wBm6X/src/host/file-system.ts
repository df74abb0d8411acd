// @ts-nocheck
import { SMALL_PROGRAM_MS } from "../core/deadlines.ts";
import { NightlatchError } from "../core/errors.ts";
import { isJsonObject, parseJson } from "../formats/json/json.ts";
import type { System } from "../system/port.ts";
import { luksBeneathDevice, programOutput } from "./block-devices.ts";

/** The file system that a file lies on. */
export interface FileSystem {
  /** Where it is mounted. */
  readonly target: string;
  /** Its device, or what else it comes from. */
  readonly source: string;
  readonly type: string;
  readonly uuid: string;
  /** The folder of it that is mounted: "/" for all. */
  readonly root: string;
  readonly options: readonly string[];
  /** Whether it lies on a LUKS volume. */
  readonly isEncrypted: boolean;
}

const LIMIT_BYTES = 1 << 20;

/**
 * Tells what file system a path lies on, by findmnt(8) and lsblk(8).
 * @throws NightlatchError boot/unsupported, json/*, system/*
 */
export async function fileSystemOf(system: Pick<System, "run">, path: string): Promise<FileSystem> {
  const columns = "TARGET,SOURCE,FSTYPE,UUID,FSROOT,OPTIONS";
  const said = await programOutput(system, ["findmnt", "--json", "--nofsroot", "--target", path, "--output", columns]);
  const json = parseJson(said, "findmnt's output", { lengthBytes: LIMIT_BYTES });
  const rows = isJsonObject(json) ? json["filesystems"] : null;
  // What is mounted over another comes last.
  const row = Array.isArray(rows) ? rows.filter(isJsonObject).at(-1) : undefined;
  if (row === undefined) throw new NightlatchError("boot/unsupported", `findmnt does not know where ${path} lies`);
  const text = (name: string) => (typeof row[name] === "string" ? row[name] : "");
  const source = text("source");
  return {
    target: text("target"),
    source,
    type: text("fstype"),
    uuid: text("uuid"),
    root: text("fsroot") || "/",
    options: text("options").split(","),
    isEncrypted: source.startsWith("/dev/") && (await luksBeneathDevice(system, source)).length > 0,
  };
}

/**
 * Names a file by its path from the root of its file system, as a boot loader names it. Null where
 * it lies outside of what is mounted.
 */
export function pathOnFileSystem({ target, root }: FileSystem, path: string): string | null {
  const folder = target === "/" ? "" : target;
  if (!path.startsWith(`${folder}/`)) return null;
  return `${root === "/" ? "" : root}${path.slice(folder.length)}`;
}

/** Whether a file dies with this boot: it lies under /run, or on another tmpfs. */
export async function liesInMemory(system: Pick<System, "run">, path: string): Promise<boolean> {
  const argv = ["findmnt", "-n", "-o", "FSTYPE", "--target", path] as const;
  const { status, stdout } = await system.run({ argv, timeoutMs: SMALL_PROGRAM_MS });
  // What is mounted over another comes last.
  const type = stdout.toString("latin1").trim().split("\n").at(-1) ?? "";
  return status === 0 && /^(?:tmpfs|ramfs|devtmpfs)$/.test(type);
}
