// @ts-nocheck
import { NightlatchError } from "../../../core/errors.ts";
import { isUki, PE_HEADER_BYTES, parsePeSections, sectionsOfProfile, stubText } from "../../../formats/loader/uki.ts";
import { isSecureBoot } from "../../../host/secure-boot.ts";
import type { System } from "../../../system/port.ts";
import { type BootEntry, type BootFile, readStart, type StubFile } from "../entry.ts";
import { addonsCmdline, filesBeside, placeOfImage } from "./stub-additions.ts";

type Power = Pick<System, "stat" | "readFileIfPresent" | "readAt" | "listDirectory">;

const CMDLINE_LIMIT_BYTES = 1 << 20;

/** Files of `/.extra` in the initramfs, in the stub's order. */
const EXTRA: readonly (readonly [string, string])[] = [
  [".pcrsig", "tpm2-pcr-signature.json"],
  [".pcrpkey", "tpm2-pcr-public-key.pem"],
  [".osrel", "os-release"],
  [".profile", "profile"],
];

/**
 * Unpacks an entry whose kernel is a unified image, as systemd-stub would start it: kernel,
 * initramfs and command line of the image, and what is added from beside it (docs/format/uki.md).
 * Null where its kernel is no such image.
 * @param root where the kernel's file system is mounted
 * @param wanted what a person says in the place of every other command line; null where nothing is
 * said
 * @throws NightlatchError boot/no-entry, boot/unsupported, uki/malformed, file/*
 */
export async function unpackUnified(
  system: Power,
  entry: BootEntry,
  root: string,
  wanted: string | null,
): Promise<BootEntry | null> {
  const { profile = 0 } = entry;
  const { path } = entry.kernel;
  const facts = await system.stat(path);
  if (facts === null) throw new NightlatchError("boot/no-entry", `${path}, the kernel of the next boot, is not there`);
  const header = await system.readAt(path, 0, Math.min(facts.sizeBytes, PE_HEADER_BYTES));
  const sections = parsePeSections(header, facts.sizeBytes);
  if (sections === null || !isUki(sections)) return null;
  const found = sectionsOfProfile(sections, profile);
  const part = (name: string): BootFile[] => {
    const section = found?.get(name);
    return section === undefined ? [] : [{ path, section }];
  };
  const [kernel] = part(".linux");
  if (kernel === undefined) {
    throw new NightlatchError("boot/no-entry", `${path} has no profile ${profile} that boots a Linux`, {
      meaning: "Nothing was changed.",
      remedy: "See: bootctl list",
    });
  }
  const text = async (name: string) => {
    const [file] = part(name);
    return file === undefined ? "" : stubText(await readStart(system, file, CMDLINE_LIMIT_BYTES));
  };
  const place = placeOfImage(root, path);
  const release = await text(".uname");
  const beside = await filesBeside(system, place);
  const extra = EXTRA.flatMap(([section, name]): StubFile[] =>
    part(section).map((from) => ({ name: `.extra/${name}`, mode: 0o444, from })),
  );
  return {
    ...entry,
    kernel,
    initrds: [...part(".ucode"), ...entry.initrds, ...part(".initrd")],
    stubFiles: [...beside, ...extra],
    cmdline: wanted ?? (await cmdlineOf()),
    release: release || null,
    notes: [...entry.notes, ...noteOf(beside)],
  };

  async function cmdlineOf(): Promise<string> {
    const secure = await isSecureBoot(system);
    const own = await text(".cmdline");
    const given = stubText(Buffer.from(entry.cmdline));
    const base = given === "" || (secure && part(".cmdline").length > 0) ? own : given;
    return [base, await addonsCmdline(system, place, release, secure)].filter((word) => word !== "").join(" ");
  }
}

function noteOf(beside: readonly StubFile[]): string[] {
  if (beside.length === 0) return [];
  const names = beside.map(({ from }) => from.path.split("/").at(-1));
  return [`from beside the image its initramfs gets ${names.slice(0, 5).join(", ")}${names.length > 5 ? ", ..." : ""}`];
}
