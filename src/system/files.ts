import { randomBytes } from "node:crypto";
import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { type ErrorCode, NightlatchError } from "../core/errors.ts";
import type { FileFacts } from "./port.ts";

/** @see System.readFile */
export async function readWhole(path: string, limitBytes: number): Promise<Buffer> {
  return withFile(path, "r", async (file) => {
    const buffer = Buffer.alloc(limitBytes + 1);
    const lengthBytes = await readFully(file, buffer, 0);
    if (lengthBytes > limitBytes) {
      throw new NightlatchError("file/too-large", `${path} is larger than ${limitBytes} bytes`);
    }
    return buffer.subarray(0, lengthBytes);
  });
}

/** @see System.readAt */
export async function readRange(path: string, offsetBytes: number, lengthBytes: number): Promise<Buffer> {
  return withFile(path, "r", async (file) => {
    const buffer = Buffer.alloc(lengthBytes);
    return buffer.subarray(0, await readFully(file, buffer, offsetBytes));
  });
}

async function readFully(file: FileHandle, into: Buffer, offsetBytes: number): Promise<number> {
  let done = 0;
  while (done < into.length) {
    const { bytesRead } = await file.read(into, done, into.length - done, offsetBytes + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return done;
}

/** @see System.writeFile */
export async function writeDurably(path: string, bytes: Uint8Array, mode: number): Promise<void> {
  const temporary = `${path}.${randomBytes(6).toString("hex")}.tmp`;
  try {
    await withFile(temporary, "wx", async (file) => {
      await file.chmod(mode);
      await file.writeFile(bytes);
      await file.sync();
    });
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {}); // the first failure is the one to tell
    throw translate(error, path);
  }
  await syncFolder(dirname(path));
}

/** @see System.removeFile */
export async function removeDurably(path: string): Promise<void> {
  try {
    await rm(path, { force: true });
    await syncFolder(dirname(path));
  } catch (error) {
    const known = translate(error, path);
    if (known.code !== "file/missing") throw known;
  }
}

/** @see System.makeDirectory */
export async function makeFolder(path: string, mode: number): Promise<void> {
  try {
    const first = await mkdir(path, { recursive: true, mode });
    if (first === undefined) return;
    // A folder is where its parent says so: without these, a power cut takes it with everything that was synced inside it.
    const top = dirname(resolve(first));
    for (let made = resolve(path); made.length > top.length; made = dirname(made)) await syncFolder(dirname(made));
  } catch (error) {
    throw translate(error, path);
  }
}

/** @see System.listDirectory */
export async function listFolder(path: string): Promise<string[]> {
  try {
    return (await readdir(path)).sort();
  } catch (error) {
    const known = translate(error, path);
    if (known.code === "file/missing") return [];
    throw known;
  }
}

/** @see System.stat */
export async function factsOf(path: string): Promise<FileFacts | null> {
  try {
    const facts = await stat(path);
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

async function syncFolder(path: string): Promise<void> {
  await withFile(path, "r", (folder) => folder.sync());
}

async function withFile<T>(path: string, flags: string, use: (file: FileHandle) => Promise<T>): Promise<T> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, flags, 0o600);
    return await use(file);
  } catch (error) {
    throw translate(error, path);
  } finally {
    await file?.close();
  }
}

const CODES: Readonly<Record<string, ErrorCode>> = {
  ENOENT: "file/missing",
  ENOTDIR: "file/missing",
  EACCES: "file/denied",
  EPERM: "file/denied",
  EROFS: "file/denied",
  ENOSPC: "file/full",
  EDQUOT: "file/full",
};

const PHRASES: Partial<Record<ErrorCode, string>> = {
  "file/missing": "does not exist",
  "file/denied": "may not be opened",
  "file/full": "could not be written: no space is left",
};

/** What the errors of node:fs mean. */
export function translate(error: unknown, path: string): NightlatchError {
  if (error instanceof NightlatchError) return error;
  const errno = (error as NodeJS.ErrnoException).code ?? "unknown";
  const code = CODES[errno] ?? "file/io";
  return new NightlatchError(code, `${path} ${PHRASES[code] ?? "could not be read or written"} (${errno})`);
}
