import { close, constants, fstat, open, read, readdir, stat } from "node:fs";
import { promisify } from "node:util";
import { NightlatchError } from "../core/errors.ts";
import { translate } from "./errno.ts";
import type { FileFacts } from "./port.ts";

// Not node:fs/promises, which takes milliseconds to load: whoever only reads, as the agent does while a boot waits, is spared them.
const openFile = promisify(open);
const readFile = promisify(read);
const closeFile = promisify(close);
const statFile = promisify(stat);
const listNames = promisify(readdir) as (path: string) => Promise<string[]>;
const statOpenFile = promisify(fstat);

/** @see System.readFile */
export async function readWhole(path: string, limitBytes: number): Promise<Buffer> {
  return withFile(path, constants.O_RDONLY, async (descriptor) => {
    const buffer = Buffer.alloc(limitBytes + 1);
    const lengthBytes = await readFully(descriptor, buffer, null);
    if (lengthBytes > limitBytes) {
      throw new NightlatchError("file/too-large", `${path} is larger than ${limitBytes} bytes`);
    }
    return buffer.subarray(0, lengthBytes);
  });
}

/** @see System.readAt */
export async function readRange(path: string, offsetBytes: number, lengthBytes: number): Promise<Buffer> {
  // Without O_NONBLOCK the open of a pipe that nobody writes to would hold one of Node's few threads for ever.
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

/** @see System.stat */
export async function factsOf(path: string): Promise<FileFacts | null> {
  try {
    const facts = await statFile(path);
    const kind = facts.isFile()
      ? "file"
      : facts.isDirectory()
        ? "directory"
        : facts.isBlockDevice()
          ? "block"
          : facts.isSocket()
            ? "socket"
            : "other";
    return { kind, mode: facts.mode & 0o7777, uid: facts.uid, gid: facts.gid, sizeBytes: facts.size };
  } catch (error) {
    const known = translate(error, path);
    if (known.code === "file/missing") return null;
    throw known;
  }
}

/** @see System.listDirectory */
export async function listFolder(path: string): Promise<string[]> {
  try {
    return (await listNames(path)).sort();
  } catch (error) {
    const known = translate(error, path);
    if (known.code === "file/missing") return [];
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
