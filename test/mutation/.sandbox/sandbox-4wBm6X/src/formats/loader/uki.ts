// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";

/** A section of a unified kernel image: where its content stands in the file. */
export interface PeSection {
  readonly name: string;
  readonly offsetBytes: number;
  /** Without the padding up to the file's alignment. */
  readonly lengthBytes: number;
}

const MAX_SECTIONS = 96; // what Windows' loader takes; ukify makes about a dozen
const SECTION_HEADER_BYTES = 40;
/** More than the headers of any image: DOS stub, PE headers, section table. */
export const PE_HEADER_BYTES = 16 * 1024;

/**
 * Reads the sections of a PE image (Microsoft's "PE Format": COFF header behind the offset at 0x3c,
 * then the optional header, then the section table). Null where it is no PE image.
 * @param fileLengthBytes the whole file's
 * @throws NightlatchError uki/malformed
 */
export function parsePeSections(start: Uint8Array, fileLengthBytes: number): PeSection[] | null {
  const bytes = Buffer.from(start.buffer, start.byteOffset, start.byteLength);
  if (bytes.length < 0x40 || bytes.toString("latin1", 0, 2) !== "MZ") return null;
  const coff = bytes.readUInt32LE(0x3c);
  if (coff > PE_HEADER_BYTES || coff + 24 > bytes.length) return null;
  if (bytes.toString("latin1", coff, coff + 4) !== "PE\0\0") return null;
  const count = bytes.readUInt16LE(coff + 6);
  const table = coff + 24 + bytes.readUInt16LE(coff + 20);
  if (count > MAX_SECTIONS || table + count * SECTION_HEADER_BYTES > bytes.length) {
    throw new NightlatchError("uki/malformed", "the kernel image has a section table that does not fit");
  }
  return Array.from({ length: count }, (_, index) => {
    const at = table + index * SECTION_HEADER_BYTES;
    const name = bytes.toString("latin1", at, at + 8).replace(/\0.*$/s, "");
    const [virtualBytes, rawBytes, offsetBytes] = [8, 16, 20].map((field) => bytes.readUInt32LE(at + field)) as [
      number,
      number,
      number,
    ];
    const lengthBytes = Math.min(virtualBytes, rawBytes);
    if (offsetBytes + lengthBytes > fileLengthBytes) {
      throw new NightlatchError("uki/malformed", `the kernel image's section ${JSON.stringify(name)} is cut off`);
    }
    return { name, offsetBytes, lengthBytes };
  });
}

/**
 * The sections of one profile by their names, as systemd-stub finds them (pe.c): the base, and in
 * its place what stands behind the profile's own `.profile`; the first of a name counts, and one of
 * no bytes takes the base's away. Null where there is no such profile; profile 0 is the base where
 * the image has none.
 */
export function sectionsOfProfile(
  sections: readonly PeSection[],
  profile: number,
): ReadonlyMap<string, PeSection> | null {
  const starts = sections.flatMap(({ name }, index) => (name === ".profile" ? [index] : []));
  const start = starts[profile];
  if (start === undefined && profile !== 0) return null;
  const own = start === undefined ? [] : sections.slice(start, starts[profile + 1] ?? sections.length);
  const found = new Map<string, PeSection>();
  for (const part of [sections.slice(0, starts[0] ?? sections.length), own]) {
    const seen = new Set<string>();
    for (const section of part) {
      if (seen.has(section.name)) continue;
      seen.add(section.name);
      if (section.lengthBytes === 0) found.delete(section.name);
      else found.set(section.name, section);
    }
  }
  return found;
}

/**
 * Reads a section's text as systemd-stub hands it on (mangle_stub_cmdline): up to a NUL, control
 * characters as spaces, none at either end.
 */
export function stubText(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  const text = bytes.toString("utf8", 0, end === -1 ? bytes.length : end);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it replaces
  return text.replaceAll(/[\x01-\x1f\x7f]/g, " ").trim();
}

/**
 * Whether a program is a unified kernel image: it holds a Linux in a section, and mostly what that
 * boots with.
 */
export function isUki(sections: readonly PeSection[]): boolean {
  return sections.some(({ name }) => name === ".linux");
}
