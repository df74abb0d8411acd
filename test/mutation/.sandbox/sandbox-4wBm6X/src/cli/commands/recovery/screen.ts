// @ts-nocheck
import type { Secret } from "../../../core/secret.ts";
import { printable } from "../../../core/text.ts";
import type { Screen } from "../../command.ts";
import { drawQrCode, makeQrCode } from "./qr-code.ts";

/** Lines beside those of the QR code: a title, the key between two empty ones, and what to do. */
const OTHER_LINES = 5;

/**
 * What a person sees of a recovery key, once: the key itself, and the QR code where the screen has
 * room for it and can draw it. 24 lines of 80 columns are enough.
 */
export function composeScreen(key: Secret, device: string, screen: Screen): Buffer {
  const code = makeQrCode(key);
  const lines = drawQrCode(code);
  const [columns, rows] = [code.length, lines.length + OTHER_LINES];
  const fits = screen.columns >= columns && screen.rows >= rows;
  const why = screen.drawsBlocks
    ? `A QR code of it needs a terminal of ${columns} columns and ${rows} lines.`
    : "A QR code of it needs a terminal with colours and UTF-8.";
  return Buffer.concat([
    Buffer.from(`Recovery key of ${printable(device, 40)}, shown this once.\n\n    `),
    key.reveal(),
    Buffer.from("\n\n"),
    ...(screen.drawsBlocks && fits ? lines : [Buffer.from(`${why}\n`)]),
    Buffer.from("Write it down, or scan it. Press Enter when you have it; then type it back."),
  ]);
}
