/** /etc/fstab as getmntent(3) reads it: fields parted by blanks, `\040` and its like for what a field may not hold. */
export interface FstabEntry {
  /** Counted from 1. */
  readonly line: number;
  readonly source: string;
  readonly target: string;
  readonly options: readonly string[];
  /** All fields of the line as they are written, white space left out. */
  readonly fields: readonly string[];
}

export const FSTAB_LIMIT_BYTES = 1 << 20;

/** Never throws: a line that is no entry is passed over, as mount(8) does. */
export function parseFstab(bytes: Uint8Array): FstabEntry[] {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8");
  return text.split("\n").flatMap((line, index) => {
    const fields = line.split(/[ \t\r]+/).filter((field) => field !== "");
    const [source, target, type, options = "defaults"] = fields.map(unescapeField);
    if (source === undefined || target === undefined || type === undefined || source.startsWith("#")) return [];
    return [{ line: index + 1, source, target, options: options.split(","), fields }];
  });
}

/** A line as it is, but for options to take out and to add. */
export function editFstabLine(
  entry: FstabEntry,
  edit: { without?: readonly string[]; having?: readonly string[] },
): string {
  const { without = [], having = [] } = edit;
  const [source = "", target = "", type = "", options = "defaults", ...rest] = entry.fields;
  const kept = options.split(",").filter((word) => !without.includes(word) && word !== "defaults" && word !== "");
  const words = [...kept, ...having.filter((word) => !kept.includes(word))];
  return [source, target, type, words.length === 0 ? "defaults" : words.join(","), ...rest].join(" ");
}

function unescapeField(field: string): string {
  return field.replaceAll(/\\([0-3][0-7]{2})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
