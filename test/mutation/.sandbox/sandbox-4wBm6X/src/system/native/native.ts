// @ts-nocheck
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

/** A C function of libc, called at once on this thread. */
export type NativeFunction = (...args: readonly (number | bigint | Uint8Array | null)[]) => number;

interface Library {
  func(prototype: string): NativeFunction;
}

/** What koffi's native half exports, as far as it is used. */
interface Koffi {
  load(path: string | null): Library;
  proto(prototype: string): unknown;
  decode(address: bigint, type: unknown): unknown;
  address(bytes: Uint8Array): bigint;
}

let koffi: Koffi | null = null;
let libc: Library | null = null;

/**
 * Finds a function of libc by its C prototype, e.g. `int getpeername(int, void *, void *)`. A
 * Uint8Array passes as a pointer to its bytes.
 */
export function libcFunction(prototype: string): NativeFunction {
  libc ??= loadKoffi().load(null);
  return libc.func(prototype);
}

/** A library that is not libc, whose functions are found by their addresses, too. */
interface LoadedLibrary extends Library {
  /** The pointer that lies at an address. */
  pointerAt(address: bigint): bigint;
  /** The function at an address, by its C prototype. */
  functionAt(address: bigint, prototype: string): NativeFunction;
}

/**
 * Loads a library by its path; its code runs in this process from here on.
 * @throws Error where it cannot be loaded
 */
export function loadLibrary(path: string): LoadedLibrary {
  const { load, proto, decode } = loadKoffi();
  const library = load(path);
  return {
    func: (prototype) => library.func(prototype),
    pointerAt: (at) => BigInt(decode(at, "uint64") as number | bigint),
    functionAt: (at, prototype) => decode(at, proto(prototype)) as NativeFunction,
  };
}

const pointedAt: Uint8Array[] = [];

/**
 * The address of bytes, for a structure that points to them. They are kept for the life of this
 * process: it is for one that ends when its work is done.
 */
export function pointerTo(bytes: Uint8Array): bigint {
  pointedAt.push(bytes);
  return loadKoffi().address(bytes);
}

/**
 * Koffi's native half alone: its JavaScript half, which is not needed for plain integers and
 * pointers, takes ten times longer to load, and a boot waits for it. In the package the file lies
 * beside the program, else npm has put it into node_modules.
 */
function loadKoffi(): Koffi {
  if (koffi !== null) return koffi;
  const loaded = { exports: {} };
  process.dlopen(loaded, koffiPath());
  koffi = loaded.exports as Koffi;
  return koffi;
}

function koffiPath(): string {
  const beside = join(import.meta.dirname, "koffi.node");
  if (existsSync(beside)) return beside;
  const name = `koffi-linux-${process.arch}`;
  const manifest = createRequire(import.meta.url).resolve(`@koromix/${name}/package.json`);
  return join(manifest, "..", `linux_${process.arch}`, "koffi.node");
}
