// @ts-nocheck
import { closeSync, constants, fdatasyncSync, fstatSync, fsyncSync, openSync, readSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { translate } from "./errno.ts";
import type { InPlaceFile } from "./port.ts";

/** @see System.openInPlace */
export async function openFileInPlace(path: string, made?: number): Promise<InPlaceFile> {
  let descriptor: number;
  try {
    descriptor = openSync(path, constants.O_RDWR);
  } catch (error) {
    const known = translate(error, path);
    if (known.code !== "file/missing" || made === undefined) throw known;
    descriptor = await makeFile(path, made);
  }
  return new OpenFile(path, descriptor);
}

/** The attribute is only taken by a file that is empty. */
async function makeFile(path: string, mode: number): Promise<number> {
  try {
    const descriptor = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, mode);
    await forbidCopyOnWrite(descriptor);
    fsyncSync(descriptor);
    const folder = openSync(dirname(path), constants.O_RDONLY);
    fsyncSync(folder);
    closeSync(folder);
    return descriptor;
  } catch (error) {
    throw translate(error, path);
  }
}

/** ioctl_iflags(2), as on every 64-bit machine. */
const FS_IOC_GETFLAGS = 0x8008_6601;
const FS_IOC_SETFLAGS = 0x4008_6602;
const FS_NOCOW_FL = 0x0080_0000;

type Ioctl = (descriptor: number, request: number, flags: number[]) => number;

async function loadIoctl(): Promise<Ioctl> {
  const { default: koffi } = await import("koffi");
  return koffi.load(null).func("int ioctl(int fd, unsigned long request, _Inout_ int *flags)") as Ioctl;
}

/**
 * chattr +C. A file system that does not know it refuses, which is fine: it has no copies to
 * forbid, or none that can be.
 */
async function forbidCopyOnWrite(descriptor: number): Promise<void> {
  const ioctl = await loadIoctl();
  const flags = [0];
  if (ioctl(descriptor, FS_IOC_GETFLAGS, flags) !== 0) return;
  ioctl(descriptor, FS_IOC_SETFLAGS, [(flags[0] ?? 0) | FS_NOCOW_FL]);
}

/**
 * Whether a file has the attribute that makes a copying file system overwrite it in place (chattr
 * +C).
 * @throws NightlatchError file/*
 */
export async function isCopyOnWriteForbidden(path: string): Promise<boolean> {
  const ioctl = await loadIoctl();
  try {
    const descriptor = openSync(path, constants.O_RDONLY);
    try {
      const flags = [0];
      return ioctl(descriptor, FS_IOC_GETFLAGS, flags) === 0 && ((flags[0] ?? 0) & FS_NOCOW_FL) !== 0;
    } finally {
      closeSync(descriptor);
    }
  } catch (error) {
    throw translate(error, path);
  }
}

class OpenFile implements InPlaceFile {
  readonly #path: string;
  readonly #descriptor: number;

  constructor(path: string, descriptor: number) {
    this.#path = path;
    this.#descriptor = descriptor;
  }

  get sizeBytes(): number {
    return this.#guard(() => fstatSync(this.#descriptor).size);
  }

  read(offsetBytes: number, lengthBytes: number): Buffer {
    const bytes = Buffer.alloc(lengthBytes);
    const done = moveAll(lengthBytes, (from) =>
      this.#guard(() => readSync(this.#descriptor, bytes, from, lengthBytes - from, offsetBytes + from)),
    );
    return bytes.subarray(0, done);
  }

  write(offsetBytes: number, bytes: Uint8Array): void {
    moveAll(bytes.byteLength, (from) =>
      this.#guard(() => writeSync(this.#descriptor, bytes, from, bytes.byteLength - from, offsetBytes + from)),
    );
  }

  sync(): void {
    this.#guard(() => fdatasyncSync(this.#descriptor));
  }

  [Symbol.dispose](): void {
    closeSync(this.#descriptor);
  }

  #guard<T>(act: () => T): T {
    try {
      return act();
    } catch (error) {
      throw translate(error, this.#path);
    }
  }
}

/** Until everything is moved, or nothing more is. */
function moveAll(lengthBytes: number, move: (from: number) => number): number {
  let done = 0;
  while (done < lengthBytes) {
    const moved = move(done);
    if (moved === 0) break;
    done += moved;
  }
  return done;
}
