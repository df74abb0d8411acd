/** Reads QR codes as a phone would: from pixels, by another library than what makes them. */
// @ts-nocheck

import assert from "node:assert/strict";
import { createRequire } from "node:module";

type Decode = (pixels: Uint8ClampedArray, width: number, height: number) => { readonly data: string } | null;

const PIXELS = 4;

/** @param isDark rows of modules, margin included; @throws where there is no code to be found */
export function readQrCode(isDark: readonly (readonly boolean[])[]): string {
  const jsQR = createRequire(import.meta.url)("jsqr").default as Decode;
  const width = (isDark[0]?.length ?? 0) * PIXELS;
  const height = isDark.length * PIXELS;
  const pixels = new Uint8ClampedArray(width * height * 4).fill(255);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (isDark[Math.floor(y / PIXELS)]?.[Math.floor(x / PIXELS)] !== true) continue;
      pixels.fill(0, (y * width + x) * 4, (y * width + x) * 4 + 3);
    }
  }
  const code = jsQR(pixels, width, height);
  assert.ok(code !== null, "no QR code is seen");
  return code.data;
}

/** The modules that a terminal shows for lines of block characters, drawn light on dark. */
export function modulesOfBlocks(text: string): boolean[][] {
  const lines = text.split("\n").filter((line) => /[█▀▄]{3}/.test(line));
  // biome-ignore lint/suspicious/noControlCharactersInRegex: what ends and begins colours
  const bare = lines.map((line) => [...line.replace(/\x1b\[[0-9;]*m/g, "").trimEnd()]);
  return bare.flatMap((line) => [line.map((c) => !"█▀".includes(c)), line.map((c) => !"█▄".includes(c))]);
}
