import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

/** A C function of libc, called at once on this thread. */
export type NativeFunction = (...args: readonly (number | Uint8Array | null)[]) => number;

interface Library {
  func(prototype: string): NativeFunction;
}

let libc: Library | null = null;

/**
 * Finds a function of libc by its C prototype, e.g. `int getpeername(int, void *, void *)`. A
 * Uint8Array passes as a pointer to its bytes.
 */
export function libcFunction(prototype: string): NativeFunction {
  libc ??= loadKoffi().load(null);
  return libc.func(prototype);
}

/**
 * Koffi's native half alone: its JavaScript half, which is not needed for plain integers and
 * pointers, takes ten times longer to load, and a boot waits for it. In the package the file lies
 * beside the program, else npm has put it into node_modules.
 */
function loadKoffi(): { load(path: null): Library } {
  const loaded = { exports: {} };
  process.dlopen(loaded, koffiPath());
  return loaded.exports as { load(path: null): Library };
}

function koffiPath(): string {
  const beside = join(import.meta.dirname, "koffi.node");
  if (existsSync(beside)) return beside;
  const name = `koffi-linux-${process.arch}`;
  const manifest = createRequire(import.meta.url).resolve(`@koromix/${name}/package.json`);
  return join(manifest, "..", `linux_${process.arch}`, "koffi.node");
}
