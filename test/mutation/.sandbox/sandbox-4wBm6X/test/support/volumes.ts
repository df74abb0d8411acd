// @ts-nocheck
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  closeSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** The passphrase of every volume made here. */
export const PASSPHRASE = "correct horse";

/** Cheap PBKDF2 for the user's own slot: what is tested is what happens around it. */
const CHEAP_KDF = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"];

/** A folder of its own under the temporary folder, removed when the test file ends. */
export function makeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "nightlatch-luks-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/**
 * Runs cryptsetup (or a program of that kind) as a person would; throws what it printed when it
 * fails.
 */
export function runTool(argv: readonly string[], stdin: string | Buffer = ""): Buffer {
  const [program = "", ...args] = argv;
  const exit = spawnSync(program, args, { input: stdin, maxBuffer: 64 << 20 });
  if (exit.status !== 0)
    throw new Error(`${argv.join(" ")}: ${exit.status} ${exit.signal ?? ""} ${String(exit.stderr)}`);
  return exit.stdout;
}

/** A LUKS volume in an image file that opens with PASSPHRASE. */
export function makeVolume(
  folder: string,
  name: string,
  type: "luks1" | "luks2",
  options: readonly string[] = [],
  sizeMiB = 20,
): string {
  const image = join(folder, name);
  writeFileSync(image, "");
  truncateSync(image, sizeMiB << 20);
  runTool(["cryptsetup", "luksFormat", "-q", "--type", type, ...CHEAP_KDF, ...options, image, "-"], PASSPHRASE);
  return image;
}

/** Adds a slot as an administrator would. */
export function addSlot(image: string, passphrase: string, options: readonly string[] = []): void {
  const argv = ["cryptsetup", "luksAddKey", "-q", ...CHEAP_KDF, ...options, image];
  runTool(argv, `${PASSPHRASE}\n${passphrase}`);
}

export function addToken(image: string, token: unknown, options: readonly string[] = []): void {
  runTool(["cryptsetup", "token", "import", "--json-file", "-", ...options, image], JSON.stringify(token));
}

/** Whether a passphrase opens a volume, of one slot where one is named. */
export function opens(image: string, passphrase: string | Buffer, slot?: number): boolean {
  const only = slot === undefined ? [] : ["--key-slot", String(slot)];
  const argv = ["open", "--test-passphrase", "--key-file", "-", ...only, image];
  const exit = spawnSync("cryptsetup", argv, { input: passphrase });
  if (exit.status !== 0 && exit.status !== 2 && exit.status !== 1) throw new Error(String(exit.stderr));
  return exit.status === 0;
}

/** Overwrites bytes of a volume in place. */
export function patch(image: string, patches: readonly (readonly [number, Buffer])[]): void {
  const file = openSync(image, "r+");
  for (const [offsetBytes, bytes] of patches) writeSync(file, bytes, 0, bytes.length, offsetBytes);
  closeSync(file);
}

/**
 * Rewrites a LUKS2 volume's metadata as somebody with the disk in hand would: both copies,
 * checksums right.
 */
export function forge(image: string, edit: (text: string) => string): void {
  const whole = readFileSync(image);
  const sizeBytes = Number(whole.readBigUInt64BE(8));
  for (const offsetBytes of [0, sizeBytes]) {
    const copy = Buffer.from(whole.subarray(offsetBytes, offsetBytes + sizeBytes));
    const text = edit(copy.toString("utf8", 4096, copy.indexOf(0, 4096)));
    copy.fill(0, 4096).write(text, 4096);
    copy.fill(0, 448, 512);
    createHash("sha256").update(copy).digest().copy(copy, 448);
    patch(image, [[offsetBytes, copy]]);
  }
}
