// @ts-nocheck
import { type InitramfsPart, nextPart } from "../../src/formats/initramfs/initramfs.ts";

/**
 * Every part of an initramfs; one whose end only its decoder finds is taken to reach to the end.
 * @throws NightlatchError initramfs/malformed, cpio/malformed
 */
export function walkInitramfs(bytes: Uint8Array): (InitramfsPart & { readonly endBytes: number })[] {
  const parts: (InitramfsPart & { readonly endBytes: number })[] = [];
  for (let part = nextPart(bytes, 0); part !== null; part = nextPart(bytes, parts.at(-1)?.endBytes ?? 0)) {
    parts.push({ ...part, endBytes: part.endBytes ?? bytes.length });
  }
  return parts;
}
