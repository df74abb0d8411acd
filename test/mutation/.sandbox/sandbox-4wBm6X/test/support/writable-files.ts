// @ts-nocheck
import type { System } from "../../src/system/port.ts";
import { type FakeSystem, fakeSystem, type Programs } from "./fake-files.ts";

/**
 * A fake world that takes writes, and knows no network. `written` names what was written, and with
 * a dash before it what was removed.
 */
export function writableSystem(
  files: Record<string, string | Buffer>,
  programs?: Programs,
): System & FakeSystem & { readonly written: string[] } {
  const fake = fakeSystem(files, programs);
  const written: string[] = [];
  const unused = () => {
    throw new Error("not expected here");
  };
  return {
    ...fake,
    written,
    writeFile: async (path: string, bytes: Uint8Array) => {
      files[path] = Buffer.from(bytes);
      written.push(path);
    },
    removeFile: async (path: string) => {
      delete files[path];
      written.push(`-${path}`);
    },
    makeDirectory: async () => {},
    lock: async () => ({ descriptor: 0, [Symbol.asyncDispose]: async () => {} }),
    nowMs: () => 1000,
    monotonicMs: () => 0,
    random: (lengthBytes: number) => Buffer.alloc(lengthBytes, 1),
    request: unused,
    sleep: unused,
  } as unknown as System & FakeSystem & { readonly written: string[] };
}
