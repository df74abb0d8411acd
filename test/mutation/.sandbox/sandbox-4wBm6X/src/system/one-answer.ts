// @ts-nocheck
import { closeSync, openSync, readSync, writeSync } from "node:fs";
import { libcFunction } from "./native/native.ts";

/**
 * Reads all of standard input, for a program that gets one request.
 * @returns null where there is more than `limitBytes`
 */
export function readRequest(limitBytes: number): Buffer | null {
  const whole = Buffer.alloc(limitBytes + 1);
  let length = 0;
  for (;;) {
    const read = length > limitBytes ? 0 : readSync(0, whole, length, whole.length - length, null);
    if (read === 0) break;
    length += read;
  }
  return length > limitBytes ? null : whole.subarray(0, length);
}

/**
 * Keeps standard output for one answer: whatever else this process prints from here on, by a
 * library, say, goes to /dev/null, and standard input is at its end.
 */
export function keepOutput(): (answer: Uint8Array) => void {
  const kept = libcFunction("int dup(int)")(1);
  const nowhere = openSync("/dev/null", "r+");
  const dup2 = libcFunction("int dup2(int, int)");
  for (const descriptor of [0, 1, 2]) dup2(nowhere, descriptor);
  closeSync(nowhere);
  return (answer) => {
    for (let at = 0; at < answer.byteLength; ) at += writeSync(kept, answer, at);
    closeSync(kept);
  };
}
