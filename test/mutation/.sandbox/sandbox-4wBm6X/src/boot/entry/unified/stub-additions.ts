// @ts-nocheck
import { NightlatchError } from "../../../core/errors.ts";
import { type CpioFile, writeCpio } from "../../../formats/initramfs/cpio.ts";
import { PE_HEADER_BYTES, parsePeSections, sectionsOfProfile, stubText } from "../../../formats/loader/uki.ts";
import type { System } from "../../../system/port.ts";
import { readStart, type StubFile, wholeFile } from "../entry.ts";

type Power = Pick<System, "stat" | "readAt" | "listDirectory">;

/**
 * Where an image lies: its file system's root, as it is mounted here, and the folder of what is
 * added to this image alone.
 */
interface ImagePlace {
  readonly root: string;
  readonly folder: string;
}

const MAX_FILES = 1000;
const MAX_BYTES = 256 << 20;
const CMDLINE_LIMIT_BYTES = 1 << 20;
const PRIVATE = 0o400;
const PUBLIC = 0o444;
/** Folders as systemd-stub's cpio.c makes them. */
const FOLDER_MODES: Readonly<Record<string, number>> = {
  ".extra": 0o555,
  ".extra/credentials": 0o500,
  ".extra/global_credentials": 0o500,
  ".extra/sysext": 0o555,
  ".extra/global_sysext": 0o555,
  ".extra/confext": 0o555,
  ".extra/global_confext": 0o555,
};

/**
 * Names the folder of additions for an image whose file system is mounted at `root`. A boot counter
 * in the image's name is no part of it.
 */
export function placeOfImage(root: string, path: string): ImagePlace {
  const prefix = root === "/" ? "" : root;
  const name = path.slice(prefix.length).replace(/^([^+]*)\+\d+(?:-\d+)?(?=\.|$)/, "$1");
  return { root: prefix, folder: `${prefix}${name}.extra.d` };
}

/**
 * Lists what systemd-stub packs of the files beside an image (docs/format/uki.md).
 * @throws NightlatchError file/*
 */
export async function filesBeside(system: Power, { root, folder }: ImagePlace): Promise<StubFile[]> {
  const found: StubFile[] = [];
  const take = async (from: string, target: string, mode: number, wants: (name: string) => boolean) => {
    for (const name of await namesIn(system, from)) {
      if (wants(name)) found.push({ name: `.extra/${target}/${name}`, mode, from: wholeFile(`${from}/${name}`) });
    }
  };
  const [global, extensions] = [`${root}/loader/credentials`, `${root}/loader/extensions`];
  await take(folder, "credentials", PRIVATE, isCredential);
  await take(global, "global_credentials", PRIVATE, isCredential);
  await take(folder, "sysext", PUBLIC, isSysext);
  await take(extensions, "global_sysext", PUBLIC, isSysext);
  await take(folder, "confext", PUBLIC, isConfext);
  await take(extensions, "global_confext", PUBLIC, isConfext);
  if (found.length > MAX_FILES) throw tooMuch(`${found.length} files lie`);
  return found;
}

const isCredential = (name: string): boolean => /\.cred$/i.test(name);
const isConfext = (name: string): boolean => /\.confext\.raw$/i.test(name);
const isSysext = (name: string): boolean => /\.raw$/i.test(name) && !isConfext(name);

/**
 * Reads what the addons beside an image put at the end of its command line, in their order; ""
 * where there are none.
 * @param release of the image, as its `.uname` says; "" where it does not
 * @throws NightlatchError boot/unsupported where that cannot be told, uki/malformed
 */
export async function addonsCmdline(
  system: Power,
  { root, folder }: ImagePlace,
  release: string,
  isSecureBoot: boolean,
): Promise<string> {
  const texts: string[] = [];
  for (const from of [`${root}/loader/addons`, folder]) {
    for (const name of await namesIn(system, from)) {
      if (!/\.addon\.efi$/i.test(name)) continue;
      const path = `${from}/${name}`;
      if (isSecureBoot) throw untoldSignature(path);
      texts.push(await addonCmdline(system, path, release));
    }
  }
  return texts.filter((text) => text !== "").join(" ");
}

async function addonCmdline(system: Power, path: string, release: string): Promise<string> {
  const sizeBytes = (await system.stat(path))?.sizeBytes ?? 0;
  const sections = parsePeSections(await system.readAt(path, 0, Math.min(sizeBytes, PE_HEADER_BYTES)), sizeBytes);
  // The firmware does not load it.
  if (sections === null) return "";
  const found = sectionsOfProfile(sections, 0) ?? new Map();
  const text = async (name: string) => {
    const section = found.get(name);
    return section === undefined ? "" : stubText(await readStart(system, { path, section }, CMDLINE_LIMIT_BYTES));
  };
  const other = await text(".uname");
  if (found.has(".linux") || (release !== "" && other !== "" && other !== release)) return "";
  const more = [".initrd", ".ucode", ".dtb", ".dtbauto"].find((name) => found.has(name));
  if (more !== undefined) {
    throw new NightlatchError("boot/unsupported", `${path} adds more than a command line to the next boot (${more})`, {
      meaning: "A kexec would boot without it. Nothing was changed.",
      remedy: "Reboot by systemctl reboot; or take it away, if the boot does not need it.",
    });
  }
  return text(".cmdline");
}

/**
 * Packs the archives that systemd-stub would put behind the initramfs; none where there is nothing
 * to pack.
 * @throws NightlatchError boot/unsupported, file/*
 */
export async function packStubFiles(system: Power, files: readonly StubFile[]): Promise<Buffer[]> {
  if (files.length === 0) return [];
  const packed: CpioFile[] = [];
  let leftBytes = MAX_BYTES;
  for (const { name, mode, from } of files) {
    const content = await readStart(system, from, leftBytes + 1);
    leftBytes -= content.length;
    if (leftBytes < 0) throw tooMuch(`more than ${MAX_BYTES >> 20} MiB lie`);
    packed.push({ name, mode, content });
  }
  // Four NULs end whatever is compressed before it.
  return [Buffer.concat([Buffer.alloc(4), writeCpio(packed, FOLDER_MODES)])];
}

/** Files alone, in the stub's order. */
async function namesIn(system: Power, folder: string): Promise<string[]> {
  const names: string[] = [];
  for (const name of await system.listDirectory(folder)) {
    if (!/^[\x20-\x2d\x2f-\x7e][\x20-\x7e]{0,254}$/.test(name)) continue;
    if ((await system.stat(`${folder}/${name}`))?.kind === "file") names.push(name);
  }
  return names.sort((left, right) => (left < right ? -1 : 1));
}

function untoldSignature(path: string): NightlatchError {
  return new NightlatchError(
    "boot/unsupported",
    `${path} adds to the command line of the next boot, if Secure Boot trusts its signature, which cannot be told here`,
    {
      meaning: "That command line is not known. Nothing was changed.",
      remedy: 'Pass the one that is to be: --cmdline "$(cat /proc/cmdline)" if it is the running one.',
    },
  );
}

function tooMuch(what: string): NightlatchError {
  return new NightlatchError("boot/unsupported", `${what} beside the unified kernel image for its initramfs`, {
    meaning: "That is more than is taken over here. Nothing was changed.",
    remedy: "Reboot by systemctl reboot, and type the passphrase.",
  });
}
