// @ts-nocheck
import { closeSync, existsSync, fdatasyncSync, fstatSync, openSync, readSync, statSync, writeSync } from "node:fs";

// Synchronous, for whoever changes a database and must let nothing come between its steps.

const ZEROS = Buffer.alloc(1 << 20);

/**
 * Overwrites a file with zeros, in place and durably. What cannot be overwritten stays as it is: a
 * file that is not there, or one on a full disk that copies on write.
 */
export function overwriteWithZeros(path: string): void {
  let descriptor: number | undefined;
  try {
    descriptor = openSync(path, "r+");
    const { size } = fstatSync(descriptor);
    for (let at = 0; at < size; ) at += writeSync(descriptor, ZEROS, 0, Math.min(ZEROS.length, size - at), at);
    fdatasyncSync(descriptor);
  } catch (error) {
    if (!(error instanceof Error && "syscall" in error)) throw error;
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

/**
 * Whether a file begins with four bytes of zeros; false where it is shorter, or not there.
 * @throws Error with `code`
 */
export function beginsWithZeros(path: string): boolean {
  if (!existsSync(path)) return false;
  const descriptor = openSync(path, "r");
  try {
    const first = Buffer.alloc(4);
    return readSync(descriptor, first, 0, first.length, 0) === first.length && first.readUInt32BE() === 0;
  } finally {
    closeSync(descriptor);
  }
}

/** A file's size; 0 where it is not there. @throws Error with `code` */
export function sizeOfFile(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}
