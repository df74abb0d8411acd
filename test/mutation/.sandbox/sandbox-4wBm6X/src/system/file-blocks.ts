// @ts-nocheck
import { closeSync, fstatSync, openSync, readSync, writeSync } from "node:fs";

// Synchronous, for whoever must let nothing come between its steps.

/** No file system has smaller blocks. */
const BLOCK_BYTES = 512;

/**
 * Gives every block of a file its place on the disk, by writing what is there once more. A file
 * that is mapped into memory kills its process where a hole in it is touched and the disk is full.
 * What cannot be written stays as it is: a file that is not there, or one on a disk that is full.
 * @param fromBytes what lies before is left alone, for others may write it
 */
export function placeBlocks(path: string, fromBytes: number): void {
  let descriptor: number | undefined;
  try {
    descriptor = openSync(path, "r+");
    const { size } = fstatSync(descriptor);
    const block = Buffer.alloc(BLOCK_BYTES);
    for (let at = fromBytes; at < size; at += BLOCK_BYTES) {
      const length = readSync(descriptor, block, 0, BLOCK_BYTES, at);
      writeSync(descriptor, block, 0, length, at);
    }
  } catch (error) {
    if (!(error instanceof Error && "syscall" in error)) throw error;
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}
