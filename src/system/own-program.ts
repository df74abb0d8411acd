import { existsSync } from "node:fs";
import { join } from "node:path";

/**
 * The file of a program of ours: in the package one of that name beside the bundle, else the
 * source.
 * @param name e.g. `pkcs11`, for pkcs11.cjs or src/pkcs11-main.ts
 */
export function ownFile(name: string): string {
  const beside = join(import.meta.dirname, `${name}.cjs`);
  return existsSync(beside) ? beside : join(import.meta.dirname, "..", `${name}-main.ts`);
}

/**
 * Gives the command that starts a program of ours beside this one, by the Node that runs this one.
 * @param name as ownFile takes it
 */
export function ownProgram(name: string): [string, ...string[]] {
  return [process.execPath, "--disable-sigusr1", ownFile(name)];
}
