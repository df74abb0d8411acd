// @ts-nocheck
import { execFile } from "node:child_process";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
/** GRUB's emulator; another version by its path. */
const EMULATOR = process.env["NIGHTLATCH_GRUB_EMU"] ?? "grub-emu";
const PREFIX = "/boot/grub";
const LIMIT_MS = 60_000;

export interface GrubInput {
  /**
   * grub.cfg, in which `@L` and `@I` stand for `linux` and `initrd`, and `@END` for the end of an
   * entry.
   */
  readonly config: string;
  readonly grubenv: Buffer | null;
  /** Files beside grub.cfg, by name. */
  readonly files: ReadonlyMap<string, string>;
}

export interface GrubAnswer {
  /**
   * Words of the last `linux` and `initrd` of the entry that boots, joined by spaces; null where
   * none boots by itself.
   */
  readonly boots: { readonly linux: string; readonly initrd: string } | null;
  /** The file, as GRUB left it; null where there is none. */
  readonly grubenv: Buffer | null;
  readonly output: string;
}

/** The text as the product gets it. */
export const asProduct = (text: string): string =>
  text.replaceAll("@L", "linux").replaceAll("@I", "initrd").replaceAll("@END", "boot");
const asEmulator = (text: string): string =>
  text.replaceAll("@L", "echo @L").replaceAll("@I", "echo @I").replaceAll("@END", "echo @E\nexit");

/**
 * What GRUB itself makes of a configuration, on a disk of its own to which it can write. It has no
 * Linux to load, so that its `echo` tells what it would.
 * @param folder is made, and is gone afterwards
 */
export async function askGrub({ config, grubenv, files }: GrubInput, folder: string): Promise<GrubAnswer> {
  const boot = join(folder, `root${PREFIX}`);
  await mkdir(boot, { recursive: true });
  await writeFile(join(boot, "grub.cfg"), asEmulator(config));
  if (grubenv !== null) await writeFile(join(boot, "grubenv"), grubenv);
  for (const [name, text] of files) await writeFile(join(boot, name), asEmulator(text));
  const image = join(folder, "disk");
  const map = join(folder, "device.map");
  await writeFile(map, `(hd0) ${image}\n`);
  await run("mke2fs", ["-q", "-F", "-t", "ext2", "-d", join(folder, "root"), image, "1M"]);
  const output = await emulate(["-m", map, "-r", "hd0", "-d", PREFIX]);
  let after: Buffer | null = null;
  if (grubenv !== null) {
    await run("debugfs", ["-R", `dump ${PREFIX}/grubenv ${join(folder, "after")}`, image]);
    after = await readFile(join(folder, "after"));
  }
  await rm(folder, { recursive: true });
  return { boots: bootsOf(output), grubenv: after, output };
}

async function emulate(args: readonly string[]): Promise<string> {
  const started = run(EMULATOR, [...args], { timeout: LIMIT_MS, killSignal: "SIGKILL", env: { TERM: "vt100", PATH } });
  started.child.stdin?.end();
  const { stdout } = await started.catch((error: { stdout: string; killed?: boolean; code?: number }) => {
    if (error.killed !== true) throw error;
    return error;
  });
  return stdout;
}

const PATH = process.env["PATH"];

/**
 * Lines as GRUB prints them. A long one is broken between words: what follows begins with nothing
 * that begins a line.
 */
function unwrap(output: string): string[] {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: what moves the cursor
  const pieces = output.replaceAll(/\x1b\[[0-9;]*[A-Za-z]/g, "").split("\n\r");
  const lines: string[] = [];
  for (const piece of pieces) {
    const isBroken =
      lines.at(-1)?.startsWith("@") === true && piece !== "" && !/^(?:@| {2}Booting| {6}\[|error:)/.test(piece);
    if (isBroken) lines[lines.length - 1] += piece;
    else lines.push(piece);
  }
  return lines;
}

/** Whether two lines are the same, but for spaces where GRUB may have broken one. */
export function sameText(left: string, right: string): boolean {
  if (left === right || left.length < 60) return left === right;
  return left.replaceAll(" ", "") === right.replaceAll(" ", "");
}

function bootsOf(output: string): GrubAnswer["boots"] {
  const all = unwrap(output);
  const lines = all.slice(0, all.indexOf("@E"));
  const linux = lines.findLastIndex((line) => line.startsWith("@L"));
  const initrd = lines.findLastIndex((line) => line.startsWith("@I"));
  if (!all.includes("@E") || linux < 0) return null;
  return { linux: lines[linux]?.slice(3) ?? "", initrd: initrd < linux ? "" : (lines[initrd]?.slice(3) ?? "") };
}
