import { close, constants, fstat, lstat, open, read, readdir, realpath, type Stats, stat, statfs } from "node:fs";
import { promisify } from "node:util";
import { NightlatchError } from "../core/errors.ts";
import { translate } from "./errno.ts";
import type { FileFacts } from "./port.ts";

// Not node:fs/promises, which takes milliseconds to load: whoever only reads, as the agent does
// while a boot waits, is spared them.
const openFile = promisify(open);
const readFile = promisify(read);
const closeFile = promisify(close);
const statFile = promisify(stat);
const statLink = promisify(lstat) as (path: string) => Promise<Stats>;
const statFileSystem = promisify(statfs) as (path: string) => Promise<StatsFs>;
const followLinks = promisify(realpath.native) as (path: string) => Promise<string>;
const listNames = promisify(readdir) as (path: string) => Promise<string[]>;
const statOpenFile = promisify(fstat);

const LEAST_READ_BYTES = 4096;

/** @see System.readFile */
export async function readWhole(path: string, limitBytes: number): Promise<Buffer> {
  return withFile(path, constants.O_RDONLY, async (descriptor) => {
    // As much memory as the file takes, not as it may take: of an initramfs that is a gigabyte,
    // which a small machine has not. A pipe or a file of /proc does not say its size.
    const { size } = await statOpenFile(descriptor);
    let buffer = Buffer.alloc(Math.min(limitBytes, Math.max(size, LEAST_READ_BYTES)) + 1);
    let lengthBytes = await readFully(descriptor, buffer, null);
    while (lengthBytes === buffer.length && lengthBytes <= limitBytes) {
      const more = Buffer.alloc(Math.min(limitBytes + 1, 2 * buffer.length));
      buffer.copy(more);
      buffer.fill(0); // it may be a key
      buffer = more;
      lengthBytes += await readFully(descriptor, buffer.subarray(lengthBytes), null);
    }
    if (lengthBytes > limitBytes) {
      buffer.fill(0);
      throw new NightlatchError("file/too-large", `${path} is larger than ${limitBytes} bytes`);
    }
    return buffer.subarray(0, lengthBytes);
  });
}

/** @see System.readAt */
export async function readRange(path: string, offsetBytes: number, lengthBytes: number): Promise<Buffer> {
  // Without O_NONBLOCK the open of a pipe that nobody writes to would hold one of Node's few
  // threads for ever.
  return withFile(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY, async (descriptor) => {
    const facts = await statOpenFile(descriptor);
    if (!facts.isFile() && !facts.isBlockDevice()) {
      throw new NightlatchError("file/wrong-kind", `${path} is neither a block device nor a file`);
    }
    const buffer = Buffer.alloc(lengthBytes);
    return buffer.subarray(0, await readFully(descriptor, buffer, offsetBytes));
  });
}

/** @param offsetBytes null: from where the descriptor stands, for a pipe has no other place */
async function readFully(descriptor: number, into: Buffer, offsetBytes: number | null): Promise<number> {
  let done = 0;
  while (done < into.length) {
    const position = offsetBytes === null ? null : offsetBytes + done;
    const { bytesRead } = await readFile(descriptor, into, done, into.length - done, position);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return done;
}

/** @see System.readFileIfPresent */
export function wholeIfPresent(path: string, limitBytes: number): Promise<Buffer | null> {
  return ifPresent(path, null, () => readWhole(path, limitBytes));
}

/** @see System.stat */
export function factsOf(path: string): Promise<FileFacts | null> {
  return ifPresent(path, null, async () => describe(await statFile(path)));
}

/** @see System.lstat */
export function factsOfLink(path: string): Promise<FileFacts | null> {
  return ifPresent(path, null, async () => describe(await statLink(path)));
}

function describe(facts: Stats): FileFacts {
  return {
    kind: kindOf(facts),
    mode: facts.mode & 0o7777,
    uid: facts.uid,
    gid: facts.gid,
    sizeBytes: facts.size,
    modifiedMs: facts.mtimeMs,
  };
}

function kindOf(facts: Stats): FileFacts["kind"] {
  if (facts.isFile()) return "file";
  if (facts.isDirectory()) return "directory";
  if (facts.isBlockDevice()) return "block";
  if (facts.isSocket()) return "socket";
  return facts.isSymbolicLink() ? "link" : "other";
}

/** @see System.realPath */
export function realPathOf(path: string): Promise<string | null> {
  return ifPresent(path, null, async () => {
    try {
      return await followLinks(path);
    } catch (error) {
      const { code = "" } = error as NodeJS.ErrnoException;
      if (code === "ELOOP" || code === "EACCES") return null;
      throw error;
    }
  });
}

/** What statfs(2) says, as far as it is asked for. */
interface StatsFs {
  readonly type: number;
  readonly bavail: number;
  readonly bsize: number;
  readonly frsize?: number;
}

/** @see System.freeBytes */
export async function freeBytesAt(path: string): Promise<number> {
  try {
    const { bavail, bsize, frsize } = await statFileSystem(path);
    // Node 24 does not tell frsize, which differs on network file systems alone.
    return bavail * (frsize ?? bsize);
  } catch (error) {
    throw translate(error, path);
  }
}

/**
 * The kernel's numbers for the file system that a file lies on: its kind (statfs(2), f_type), and
 * its device (stat(2), st_dev).
 * @throws NightlatchError file/missing, file/denied, file/io
 */
export async function fileSystemNumbers(path: string): Promise<{ readonly type: number; readonly device: number }> {
  try {
    return { type: (await statFileSystem(path)).type, device: (await statFile(path)).dev };
  } catch (error) {
    throw translate(error, path);
  }
}

/** @see System.listDirectory */
export function listFolder(path: string): Promise<string[]> {
  return ifPresent(path, [], async () => (await listNames(path)).sort());
}

/** What is read of a path, or what stands for it where nothing is. */
async function ifPresent<T>(path: string, absent: T, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    const known = translate(error, path);
    if (known.code === "file/missing") return absent;
    throw known;
  }
}

async function withFile<T>(path: string, flags: number, use: (descriptor: number) => Promise<T>): Promise<T> {
  let descriptor: number | undefined;
  try {
    descriptor = await openFile(path, flags);
    return await use(descriptor);
  } catch (error) {
    throw translate(error, path);
  } finally {
    if (descriptor !== undefined) await closeFile(descriptor);
  }
}
