// @ts-nocheck
import { randomBytes } from "node:crypto";
import { type FileHandle, mkdir, open, rename, rm } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { translate } from "./errno.ts";

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
    // A folder is where its parent says so: without these, a power cut takes it with everything
    // that was synced inside it.
    const top = dirname(resolve(first));
    for (let made = resolve(path); made.length > top.length; made = dirname(made)) await syncFolder(dirname(made));
  } catch (error) {
    throw translate(error, path);
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
