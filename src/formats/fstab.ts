/** /etc/fstab as getmntent(3) reads it: fields parted by blanks, `\040` and its like for what a field may not hold. */
export interface FstabEntry {
  /** Counted from 1. */
  readonly line: number;
  readonly source: string;
  readonly target: string;
  readonly options: readonly string[];
}

export const FSTAB_LIMIT_BYTES = 1 << 20;

/** Never throws: a line that is no entry is passed over, as mount(8) does. */
export function parseFstab(bytes: Uint8Array): FstabEntry[] {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8");
  return text.split("\n").flatMap((line, index) => {
    const [source, target, type, options = "defaults"] = line
      .split(/[ \t\r]+/)
      .filter((field) => field !== "")
      .map(unescapeField);
    if (source === undefined || target === undefined || type === undefined || source.startsWith("#")) return [];
    return [{ line: index + 1, source, target, options: options.split(",") }];
  });
}

function unescapeField(field: string): string {
  return field.replaceAll(/\\([0-3][0-7]{2})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
