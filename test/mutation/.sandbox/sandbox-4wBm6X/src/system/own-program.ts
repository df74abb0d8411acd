// @ts-nocheck
import { existsSync } from "node:fs";
import { join } from "node:path";

/**
 * Gives the command that starts a program of ours beside this one, by the Node that runs this one.
 * In the package it is a file of that name beside the bundle, else the source.
 * @param name e.g. `pkcs11`, for pkcs11.cjs or src/pkcs11-main.ts
 */
export function ownProgram(name: string): [string, ...string[]] {
  const beside = join(import.meta.dirname, `${name}.cjs`);
  const source = join(import.meta.dirname, "..", `${name}-main.ts`);
  return [process.execPath, "--disable-sigusr1", existsSync(beside) ? beside : source];
}
