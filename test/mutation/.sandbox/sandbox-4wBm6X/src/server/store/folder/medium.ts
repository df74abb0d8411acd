// @ts-nocheck
import { isError } from "../../../core/errors.ts";
import { isCopyOnWriteForbidden } from "../../../system/in-place.ts";
import type { System } from "../../../system/port.ts";
import { fileSystemNumbers } from "../../../system/read.ts";

/**
 * What is known of the file system that a file lies on, as far as it matters for overwriting the
 * file.
 */
interface Medium {
  /** Its f_type in statfs(2). */
  readonly type: number;
  /**
   * The options of the file system, as /proc/self/mountinfo has them last: `rw,data=journal`. Empty
   * where they are not known.
   */
  readonly options: string;
  /** Whether the file has the attribute of chattr +C. */
  readonly isCopyOnWriteForbidden: boolean;
}

const EXT = 0xef53;
const BTRFS = 0x9123_683e;
/** File systems that write every change to another place. */
const NEVER_IN_PLACE: ReadonlyMap<number, string> = new Map([
  [0xf2f5_2010, "f2fs"],
  [0x2fc1_2fc1, "ZFS"],
  [0xca45_1a4e, "bcachefs"],
  [0x3434, "NILFS"],
]);

/**
 * Says why older bytes of a file may outlive being overwritten, in words for an operator. Null
 * where nothing says so.
 */
export function warnOfMedium(path: string, medium: Medium): string | null {
  const name = NEVER_IN_PLACE.get(medium.type);
  if (name !== undefined) return warning(path, `${name}, which writes changes to another place`);
  if (medium.type === BTRFS && !medium.isCopyOnWriteForbidden) {
    return warning(path, "btrfs and does not have the attribute that makes it be overwritten in place (chattr +C)");
  }
  if (medium.type === EXT && medium.options.split(",").includes("data=journal")) {
    return warning(path, "a file system that is mounted with data=journal, which writes changes to its journal first");
  }
  return null;
}

function warning(path: string, where: string): string {
  return (
    `${path} lies on ${where}. A key that is revoked may be found there for a while by whoever takes this disk and the master key. ` +
    "Move the data folder to a plain ext4 or XFS: stop the server, and copy the whole folder."
  );
}

/**
 * Reads what a file lies on. It never throws one of our errors: what cannot be known is not warned
 * of.
 */
export async function readMedium(system: Pick<System, "readFile">, path: string): Promise<Medium> {
  try {
    const { type, device } = await fileSystemNumbers(path);
    const mounts = await system.readFile("/proc/self/mountinfo", MAX_MOUNTINFO_BYTES);
    const options = mountOptionsOf(mounts.toString(), device);
    return { type, options, isCopyOnWriteForbidden: type === BTRFS && (await isCopyOnWriteForbidden(path)) };
  } catch (error) {
    if (!isError(error)) throw error;
    return { type: 0, options: "", isCopyOnWriteForbidden: false };
  }
}

const MAX_MOUNTINFO_BYTES = 4 << 20;

/**
 * The options of the file system itself, found by the device's number as stat(2) gives it. Empty
 * where there are none.
 */
export function mountOptionsOf(mountinfo: string, device: number): string {
  const major = ((device >>> 8) & 0xfff) | (Math.floor(device / 2 ** 32) & 0xffff_f000);
  const minor = (device & 0xff) | ((device >>> 12) & 0xfff_ff00);
  for (const line of mountinfo.split("\n")) {
    const fields = line.split(" ");
    const end = fields.indexOf("-");
    if (fields[2] === `${major}:${minor}` && end > 0) return fields[end + 3] ?? "";
  }
  return "";
}
