// @ts-nocheck
import { encode } from "uqr";
import type { Secret } from "../../../core/secret.ts";

/** Rows of modules, true for a dark one, with a margin. */
type QrCode = readonly (readonly boolean[])[];

/** Codes are read with two light modules around them; the standard asks for four. */
const MARGIN = 2;

/**
 * Makes the QR code that says a text of ASCII, byte for byte. The library's own copies of it cannot
 * be wiped.
 */
export function makeQrCode(text: Secret): QrCode {
  const bytes = [...text.reveal()];
  try {
    return encode(bytes, { ecc: "L", border: MARGIN }).data;
  } finally {
    bytes.fill(0);
  }
}

/** Two modules, one above the other, in one character: the light ones are drawn. */
const BLOCKS = [" ", "▄", "▀", "█"].map((block) => Buffer.from(block));
/** Light is white and dark is black, whatever colours the terminal has by itself. */
const COLOURS = Buffer.from("\x1b[40;37;1m");
const NO_COLOURS = Buffer.from("\x1b[0m\n");

/** Draws a code with block characters, a line for two rows of modules. */
export function drawQrCode(code: QrCode): readonly Buffer[] {
  const lines: Buffer[] = [];
  for (let row = 0; row < code.length; row += 2) {
    const isLight = (at: number, column: number) => code[at]?.[column] === false;
    const blocks = (code[row] ?? []).map((_, column) => {
      return BLOCKS[(isLight(row, column) ? 2 : 0) + (isLight(row + 1, column) ? 1 : 0)] ?? Buffer.alloc(0);
    });
    lines.push(Buffer.concat([COLOURS, ...blocks, NO_COLOURS]));
  }
  return lines;
}

/** Draws a code as the `d` of an SVG path, with one unit a module. */
export function qrCodePath(code: QrCode): Buffer {
  const squares = code.flatMap((row, y) => row.flatMap((isDark, x) => (isDark ? [`M${x} ${y}h1v1h-1z`] : [])));
  return Buffer.from(squares.join(""));
}
