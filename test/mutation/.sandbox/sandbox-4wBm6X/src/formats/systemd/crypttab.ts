// @ts-nocheck
import { isUtf8 } from "node:buffer";

/**
 * /etc/crypttab as systemd reads it (crypttab(5), and systemd 252's cryptsetup-generator.c and
 * fstab-util.c where the manual page is silent): four fields parted by white space, no quoting,
 * what follows them is a remark, a line that is no entry is passed over.
 */
export interface CrypttabEntry {
  /** Counted from 1. */
  readonly line: number;
  readonly volume: string;
  /** As it is written: a path, `UUID=…`, `LABEL=…`, `PARTUUID=…`, `PARTLABEL=…`. */
  readonly device: string;
  /**
   * null where the field is absent, `-` or `none`: systemd then looks for a `.key` file of the
   * volume's name.
   */
  readonly key: string | null;
  readonly options: readonly CrypttabOption[];
  /**
   * All fields of the line as they are written, white space left out; U+FFFD for what is not UTF-8
   * in a remark.
   */
  readonly fields: readonly string[];
}

interface CrypttabOption {
  readonly name: string;
  /** null for an option without `=`. */
  readonly value: string | null;
}

/** A line of a crypttab that holds something, and opens nothing. */
export interface CrypttabFault {
  readonly line: number;
  /** What is wrong, and what systemd makes of it. */
  readonly what: string;
}

/** A crypttab as systemd reads it. */
export interface Crypttab {
  readonly entries: readonly CrypttabEntry[];
  /** Lines that systemd opens nothing by although they hold something. */
  readonly faults: readonly CrypttabFault[];
  /** The first line that makes systemd's generator give up: version 252 reads none after it. */
  readonly stopsAt: number | null;
  /** Lines of units that systemd makes and then cannot load. */
  readonly unreadable: readonly UnreadableLine[];
}

interface UnreadableLine {
  readonly line: number;
  readonly isNetwork: boolean;
  readonly mayFail: boolean;
  readonly isByHand: boolean;
}

/** No crypttab comes near it. */
export const CRYPTTAB_LIMIT_BYTES = 1 << 20;

/** Reads a crypttab. It never throws: a line that is no entry becomes a fault. */
export function parseCrypttab(bytes: Uint8Array): Crypttab {
  const entries: CrypttabEntry[] = [];
  const faults: CrypttabFault[] = [];
  const seen = new Set<string>();
  const unreadable: UnreadableLine[] = [];
  let stopsAt: number | null = null;
  for (const { words, line } of linesOf(bytes)) {
    const read = readLine(words, line);
    if ("what" in read) {
      faults.push({ line, what: read.what });
      if (read.unreadable !== undefined) unreadable.push(read.unreadable);
      continue;
    }
    const why = whyStops(read, seen);
    if (why === null) {
      seen.add(read.volume);
      entries.push(read);
    } else {
      stopsAt ??= line;
      faults.push({
        line,
        what: `${why}: systemd makes nothing of it, and older versions (252 for one) of no line after it`,
      });
    }
  }
  return { entries, faults, stopsAt, unreadable };
}

/**
 * White space and remarks left out; `words` are latin1, so that one bad word does not spoil the
 * others.
 */
function* linesOf(bytes: Uint8Array): Generator<{ words: string[]; line: number }> {
  const lines = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1").split(LINE_END);
  for (const [index, line] of lines.entries()) {
    const words = line.split(WHITE_SPACE).filter((word) => word !== "");
    if (words.length > 0 && !/^[ \t]*#/.test(line)) yield { words, line: index + 1 };
  }
}

interface BadLine {
  readonly what: string;
  readonly unreadable?: UnreadableLine;
}

function readLine(words: readonly string[], line: number): CrypttabEntry | BadLine {
  const fields = words.map((word) => Buffer.from(word, "latin1").toString("utf8"));
  const [volume = "", device, key, options] = fields;
  if (device === undefined) return { what: "names a volume and no device: systemd passes over it" };
  const entry = { line, volume, device, key: isNone(key) ? null : key, options: parseOptions(options), fields };
  if (!words.slice(0, 4).every((word) => isUtf8(Buffer.from(word, "latin1")))) {
    return unreadableLine(entry);
  }
  return isVolumeName(volume) ? entry : { what: "has a volume name that is no file name: systemd refuses it" };
}

/**
 * Where a target requires a unit that cannot be loaded, systemd stops adding jobs for the target:
 * which it had by then is chance.
 */
function unreadableLine(entry: CrypttabEntry): BadLine {
  const flags = { isNetwork: isNetworkVolume(entry), mayFail: mayFail(entry), isByHand: isStartedByHand(entry) };
  const others =
    flags.mayFail || flags.isByHand
      ? "does not open the volume"
      : `does not open the volume, and perhaps none of those that ${flags.isNetwork ? "are" : "are not"} _netdev`;
  return { what: `is not UTF-8: systemd ${others}`, unreadable: { line: entry.line, ...flags } };
}

/** What systemd's generator fails at. */
function whyStops(entry: CrypttabEntry, seen: ReadonlySet<string>): string | null {
  const { volume, device, key } = entry;
  if (seen.has(volume)) return `names ${volume} again`;
  const has = (name: string) => findOption(entry, name) !== undefined;
  if (has("tmp") && has("swap")) return "has both tmp and swap";
  const others = [key ?? "", findOption(entry, "header")?.value ?? ""].filter((path) => path.startsWith("/dev/"));
  return [device, ...others].some((path) => path.split("/").includes("..")) ? "has .. in a path" : null;
}

// What isspace(3) matches in the C locale, as sscanf parts fields; \n, \r and NUL end the line
// before.
const WHITE_SPACE = /[ \t\v\f]+/;
const LINE_END = /\r\n|\n\r|[\n\r\0]/;

function isNone(key: string | undefined): key is undefined {
  return key === undefined || key === "-" || key === "none";
}

/** Whether a name may be a volume's. systemd-cryptsetup refuses every other (filename_is_valid). */
export function isVolumeName(name: string): boolean {
  return name !== "." && name !== ".." && /^[^/\0]+$/.test(name) && Buffer.byteLength(name) <= 255;
}

/** Reads the field of options. Commas part them; `\,` and `\\` stand for themselves. */
export function parseOptions(text: string | undefined): CrypttabOption[] {
  return optionWords(text).map((word) => {
    const plain = word.replaceAll(/\\([\\,])/g, "$1");
    const equals = plain.indexOf("=");
    return equals < 0 ? { name: plain, value: null } : { name: plain.slice(0, equals), value: plain.slice(equals + 1) };
  });
}

/** As they are written, escapes and all. */
function optionWords(text: string | undefined): string[] {
  if (isNone(text)) return [];
  return text.match(/(?:\\.|[^\\,]|\\$)+/gsu) ?? [];
}

/** What to change in a line. */
export interface CrypttabEdit {
  /** Another key; `none` takes it out. */
  readonly key?: string;
  /** Names of options to take out. */
  readonly without?: readonly string[];
  /** Options to have, each put at the end where it is not there. */
  readonly having?: readonly string[];
}

/**
 * Writes a line as it is, but for the edit. The user's own device, options and what follows stay as
 * they are written.
 */
export function editCrypttabLine(entry: CrypttabEntry, { key, without = [], having = [] }: CrypttabEdit): string {
  const [volume = "", device = "", oldKey = "none", options, ...rest] = entry.fields;
  const kept = optionWords(options).filter((word) => !without.includes(word.split("=")[0] ?? ""));
  const words = [...kept, ...having.filter((word) => !kept.includes(word))];
  return [volume, device, key ?? oldKey, words.length === 0 ? "luks" : words.join(","), ...rest].join(" ");
}

/**
 * Finds the last option of these names, which is the one that counts. Undefined where there is
 * none.
 */
export function findOption(entry: CrypttabEntry, ...names: readonly string[]): CrypttabOption | undefined {
  return entry.options.findLast((option) => names.includes(option.name));
}

/** Whether a volume waits for the network (_netdev). */
export function isNetworkVolume(entry: CrypttabEntry): boolean {
  return findOption(entry, "_netdev") !== undefined;
}

/** Whether the boot goes on without a volume (nofail). */
export function mayFail(entry: CrypttabEntry): boolean {
  return findOption(entry, "nofail", "fail")?.name === "nofail";
}

/** Whether a line keeps the boot from starting its volume (noauto). */
export function isStartedByHand(entry: CrypttabEntry): boolean {
  return findOption(entry, "noauto", "auto")?.name === "noauto";
}

const TAGS: readonly (readonly [string, string])[] = [
  ["LABEL=", "label"],
  ["UUID=", "uuid"],
  ["PARTUUID=", "partuuid"],
  ["PARTLABEL=", "partlabel"],
];

/**
 * Names the path that a device specification of crypttab or fstab stands for (systemd's
 * fstab_node_to_udev_node).
 */
export function devicePathOf(specification: string): string {
  for (const [prefix, folder] of TAGS) {
    if (specification.startsWith(prefix)) {
      return `/dev/disk/by-${folder}/${encodeDeviceName(unquote(specification.slice(prefix.length)))}`;
    }
  }
  return specification;
}

function unquote(text: string): string {
  const first = text[0];
  const quoted = text.length >= 2 && (first === '"' || first === "'") && text.endsWith(first);
  return quoted ? text.slice(1, -1) : text;
}

/** Names the path of a volume's header: its device, or what `header=` names. */
export function headerPathOf(entry: CrypttabEntry): string {
  return findOption(entry, "header")?.value ?? devicePathOf(entry.device);
}

/**
 * udev's encoding of a label in a link's name (encode_devnode_name): what is not plain becomes
 * \xHH, byte by byte.
 */
function encodeDeviceName(name: string): string {
  return name.replaceAll(/[^0-9A-Za-z#+\-.:=@_\u0080-\u{10ffff}]/gu, (character) => {
    const code = character.charCodeAt(0);
    return `\\x${code.toString(16).padStart(2, "0")}`;
  });
}

/** What to put into crypttab so that the agent is asked for a volume's key. */
interface CrypttabAdvice {
  readonly volume: string;
  /** The second field. */
  readonly source: string;
  /** For header=; null where there is none. */
  readonly header: string | null;
  readonly socket: string;
  /** The key comes over the network: the volume then waits for it and never holds up the boot. */
  readonly overNetwork: boolean;
}

/** Writes one line, without its end. */
export function formatCrypttabLine({ volume, source, header, socket, overNetwork }: CrypttabAdvice): string {
  const detached = header === null ? "" : `,header=${header}`;
  return `${volume} ${source} ${socket} luks${detached}${overNetwork ? ",_netdev,nofail" : ""}`;
}
