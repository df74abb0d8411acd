// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";

/**
 * A Boot Loader Specification type 1 entry
 * (uapi-group.org/specifications/specs/boot_loader_specification).
 */
export interface BlsEntry {
  /** The file's name without `.conf` and without the boot counter. */
  readonly id: string;
  readonly title: string;
  readonly version: string;
  readonly sortKey: string;
  readonly machineId: string;
  /** Paths on the file system that holds the entry. */
  readonly linux: string;
  readonly initrds: readonly string[];
  readonly efi: string;
  readonly options: string;
  /**
   * Tries left and done, from a `+LEFT-DONE` in the file's name; null where boots are not counted.
   */
  readonly counter: { readonly left: number; readonly done: number } | null;
}

const MAX_BYTES = 64 * 1024;

/**
 * Reads one entry file. Of keys that repeat, `initrd` and `options` add up, and of the others the
 * last one counts; unknown ones are skipped.
 * @throws NightlatchError bls/malformed
 */
export function parseBlsEntry(fileName: string, text: string): BlsEntry {
  if (text.length > MAX_BYTES) throw malformed(fileName, `is larger than ${MAX_BYTES} bytes`);
  const values = new Map<string, string[]>();
  for (const line of text.split(/\r?\n/)) {
    const [, key, value] = /^([^#\s]\S*)\s+(.*)$/.exec(line.trim()) ?? [];
    if (key !== undefined && value !== undefined) values.set(key, [...(values.get(key) ?? []), value]);
  }
  const last = (key: string) => values.get(key)?.at(-1) ?? "";
  const entry = {
    ...parseBlsFileName(fileName),
    title: last("title"),
    version: last("version"),
    sortKey: last("sort-key"),
    machineId: last("machine-id"),
    linux: last("linux"),
    initrds: values.get("initrd") ?? [],
    efi: last("efi"),
    options: (values.get("options") ?? []).join(" "),
  };
  if (entry.linux === "" && entry.efi === "") throw malformed(fileName, "names no kernel");
  return entry;
}

/** @throws NightlatchError bls/malformed */
function parseBlsFileName(fileName: string): Pick<BlsEntry, "id" | "counter"> {
  const [, id, left, done] = /^([^/]+?)(?:\+(\d{1,9})(?:-(\d{1,9}))?)?\.(?:conf|efi)$/.exec(fileName) ?? [];
  if (id === undefined) throw malformed(fileName, "has a name that ends neither in .conf nor in .efi");
  return { id, counter: left === undefined ? null : { left: Number(left), done: Number(done ?? 0) } };
}

function malformed(fileName: string, how: string): NightlatchError {
  return new NightlatchError("bls/malformed", `the boot entry ${fileName} ${how}`);
}

/**
 * Sorts BLS entries as GRUB does (Fedora's blscfg): by file name as RPM compares versions, the
 * greatest first.
 */
export function sortAsBlscfg<T extends { readonly id: string }>(entries: readonly T[]): T[] {
  return [...entries].sort((left, right) => compareRpmVersions(right.id, left.id));
}

/**
 * Compares as rpmvercmp does: digits by value, letters by order, digits above letters, `~` below
 * the end, `^` above it.
 */
export function compareRpmVersions(left: string, right: string): number {
  const pieces = (text: string) => text.match(/\d+|[A-Za-z]+|~|\^/g) ?? [];
  const [lefts, rights] = [pieces(left), pieces(right)];
  for (let index = 0; index < Math.max(lefts.length, rights.length); index++) {
    const order = comparePieces(lefts[index], rights[index]);
    if (order !== 0) return order;
  }
  return 0;
}

/** Where a piece stands against the end of the other text: `~` before it, all else after. */
const rank = (piece: string | undefined): number => {
  if (piece === "~") return 0;
  if (piece === undefined) return 1;
  if (piece === "^") return 2;
  return /^\d/.test(piece) ? 4 : 3;
};

function comparePieces(left: string | undefined, right: string | undefined): number {
  if (rank(left) !== rank(right)) return rank(left) - rank(right);
  if (left === undefined || right === undefined || left === right) return 0;
  if (rank(left) === 4) {
    const [a, b] = [left.replace(/^0+/, ""), right.replace(/^0+/, "")];
    if (a.length !== b.length) return a.length - b.length;
    return a === b ? 0 : a < b ? -1 : 1;
  }
  return left < right ? -1 : 1;
}
