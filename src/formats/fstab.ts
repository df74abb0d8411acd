/** /etc/fstab (fstab(5)), as far as it says which mounts wait for which volume. */
export interface FstabEntry {
  /** Counted from 1. */
  readonly line: number;
  readonly source: string;
  readonly target: string;
  readonly options: readonly string[];
}

/** No fstab comes near it. */
export const FSTAB_LIMIT_BYTES = 1 << 20;

/** Lines that are no entries are passed over, as mount does. */
export function parseFstab(bytes: Uint8Array): FstabEntry[] {
  const entries: FstabEntry[] = [];
  const lines = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8").split("\n");
  for (const [index, line] of lines.entries()) {
    const [source, target, type, options] = line.trim().split(/[ \t]+/);
    if (source === undefined || source.startsWith("#") || target === undefined || type === undefined) continue;
    entries.push({
      line: index + 1,
      source: fromOctal(source),
      target: fromOctal(target),
      options: (options ?? "defaults").split(","),
    });
  }
  return entries;
}

/** White space is written in octal: `\040`. */
function fromOctal(field: string): string {
  return field.replaceAll(/\\([0-3][0-7]{2})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

/** Mounts of an opened volume, by the name that its mapping has. */
export function mountsOf(entries: readonly FstabEntry[], volume: string): FstabEntry[] {
  const sources = [`/dev/mapper/${volume}`, `/dev/disk/by-id/dm-name-${volume}`];
  return entries.filter(({ source }) => sources.includes(source));
}
