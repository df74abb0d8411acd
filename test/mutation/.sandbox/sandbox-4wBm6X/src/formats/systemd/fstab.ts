// @ts-nocheck
import { devicePathOf } from "./crypttab.ts";
import { parentOf, simplifyPath, type UnitNeeds } from "./unit-path.ts";

/**
 * /etc/fstab as getmntent(3) reads it: fields parted by blanks, `\040` and its like for what a
 * field may not hold.
 */
export interface FstabEntry {
  /** Counted from 1. */
  readonly line: number;
  readonly source: string;
  readonly target: string;
  /** "" where the line has none. */
  readonly type: string;
  readonly options: readonly string[];
  /** All fields of the line as they are written, white space left out. */
  readonly fields: readonly string[];
}

/** More is not read of a fstab. */
export const FSTAB_LIMIT_BYTES = 1 << 20;

/** Reads a fstab. It never throws: a line that is no entry is passed over, as mount(8) does. */
export function parseFstab(bytes: Uint8Array): FstabEntry[] {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8");
  return text.split("\n").flatMap((line, index) => {
    const fields = line.split(/[ \t]+/).filter((field) => field !== "");
    const [source, target, type = "", options = "defaults"] = fields.map(unescapeField);
    if (source === undefined || target === undefined || source.startsWith("#")) return [];
    return [{ line: index + 1, source, target, type, options: options.split(","), fields }];
  });
}

/** Writes a line as it is, but for options to take out and to add. */
export function editFstabLine(
  entry: FstabEntry,
  edit: { without?: readonly string[]; having?: readonly string[] },
): string {
  const { without = [], having = [] } = edit;
  const [source = "", target = "", type = "auto", options = "defaults", ...rest] = entry.fields;
  const kept = options
    .split(",")
    .filter((word) => !without.includes(nameOf(word)) && word !== "defaults" && word !== "");
  const words = [...kept, ...having.filter((word) => !kept.includes(word))];
  return [source, target, type, words.length === 0 ? "defaults" : words.join(","), ...rest].join(" ");
}

/** The device or file that is mounted, by a path of systemd's. */
function sourcePathOf({ source }: FstabEntry): string {
  return devicePathOf(source);
}

/**
 * Tells where systemd mounts an entry; of swap it is the device itself. Null where systemd passes
 * over the line.
 */
export function mountPointOf(entry: FstabEntry): string | null {
  const { target, type } = entry;
  if (type === "swap") return simplifyPath(sourcePathOf(entry));
  return target.startsWith("/") && type !== "autofs" ? simplifyPath(target) : null;
}

/**
 * Lists the lines that systemd makes units of: of two for one place the first counts; swap has its
 * device in the place of one.
 */
export function takenMounts(entries: readonly FstabEntry[]): FstabEntry[] {
  const seen = new Set<string>();
  return entries.filter((entry) => {
    const place = mountPointOf(entry);
    if (place === null || seen.has(place)) return false;
    seen.add(place);
    return true;
  });
}

/** Whether an option is there; of several that say the opposite of each other the last counts. */
function says({ options }: FstabEntry, name: string, ...others: readonly string[]): boolean {
  const found = options.map(nameOf).findLast((option) => option === name || others.includes(option));
  return found === name;
}

/** Whether an entry is mounted at its first use. */
export function isAutomount(entry: FstabEntry): boolean {
  const marked = says(entry, "x-systemd.automount") || entry.options.includes("comment=systemd.automount");
  return marked && entry.type !== "swap" && mountPointOf(entry) !== "/";
}

/**
 * Whether a boot mounts an entry. The root is mounted whatever the line says, and what names its
 * targets whatever noauto says.
 */
export function isStarted(entry: FstabEntry): boolean {
  if (mountPointOf(entry) === "/") return true;
  if (isAutomount(entry)) return false;
  return !says(entry, "noauto", "auto") || namedTargets(entry).length > 0;
}

function namedTargets(entry: FstabEntry): string[] {
  if (entry.type === "swap" || isAutomount(entry)) return [];
  return [...optionValues(entry, "x-systemd.required-by"), ...optionValues(entry, "x-systemd.wanted-by")];
}

/** Values of `NAME=VALUE`, in order. */
function optionValues({ options }: FstabEntry, name: string): string[] {
  return options.filter((option) => option.startsWith(`${name}=`)).map((option) => option.slice(name.length + 1));
}

/**
 * Whether an entry mounts, or swaps to, a volume of this name, by any of the names of its mapping.
 * A file system's UUID tells nothing.
 */
export function mountsMapping(entry: FstabEntry, volume: string): boolean {
  const path = simplifyPath(sourcePathOf(entry));
  if (path === `/dev/mapper/${volume}` || path === `/dev/disk/by-id/dm-name-${volume}`) return true;
  const [, named] = /^\/dev\/disk\/by-id\/dm-uuid-CRYPT-[A-Z0-9]+-[0-9a-f]{32}-(.*)$/s.exec(path) ?? [];
  return named === volume;
}

/** What starts it in a boot, and fails without it where it is required. */
interface MountTargets {
  readonly targets: readonly string[];
  readonly isRequired: boolean;
}

/**
 * Tells which target mounts an entry: that of the local file systems, of those of the network, of
 * swap, or what the line names.
 */
export function targetsOf(entry: FstabEntry): MountTargets {
  const named = namedTargets(entry);
  if (named.length > 0) {
    return { targets: named, isRequired: optionValues(entry, "x-systemd.required-by").length > 0 };
  }
  const isNetwork = says(entry, "_netdev") || NETWORK_TYPES.has(entry.type.replace(/^fuse\./, ""));
  const target = entry.type === "swap" ? "swap.target" : isNetwork ? "remote-fs.target" : "local-fs.target";
  return { targets: [target], isRequired: !says(entry, "nofail", "fail") };
}

/** systemd's fstype_is_network. */
const NETWORK_TYPES: ReadonlySet<string> = new Set(
  "afs ceph cifs smb3 smbfs sshfs ncpfs ncp nfs nfs4 gfs gfs2 glusterfs pvfs2 ocfs2 lustre davfs".split(" "),
);

/** Lists what an entry's mount waits for. */
export function needsOfMount(entry: FstabEntry): UnitNeeds {
  const source = sourcePathOf(entry);
  const place = mountPointOf(entry);
  if (place === null) return NOTHING;
  if (entry.type === "swap") return { ...NOTHING, devices: [source] };
  const isBind = says(entry, "bind") || says(entry, "rbind") || ["bind", "rbind"].includes(entry.type);
  const isDevice = source.startsWith("/dev/");
  const named = optionValues(entry, "x-systemd.requires-mounts-for");
  return {
    devices: isDevice && !isBind && place !== "/" ? [source] : [],
    paths: [...needsOfAutomount(entry).paths, ...named, ...(isDevice ? [] : [source])],
    units: optionValues(entry, "x-systemd.requires"),
  };
}

/**
 * Lists what the unit waits for that mounts an entry at its first use. What the mount itself needs
 * is needed then.
 */
export function needsOfAutomount(entry: FstabEntry): UnitNeeds {
  const parent = parentOf(mountPointOf(entry) ?? "/");
  return { ...NOTHING, paths: parent === null ? [] : [parent] };
}

const NOTHING: UnitNeeds = { devices: [], paths: [], units: [] };

const nameOf = (option: string): string => option.split("=")[0] ?? "";

function unescapeField(field: string): string {
  return field.replaceAll(/\\([0-3][0-7]{2})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
