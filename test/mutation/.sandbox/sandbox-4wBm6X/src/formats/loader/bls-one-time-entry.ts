// @ts-nocheck
import { formatMark, type OneshotMark, parseMark } from "../own/oneshot-mark.ts";

interface BlsOneshotRequest {
  readonly title: string;
  readonly options: string;
  /** Paths on the file system that holds the entry, behind the entry's own initrds. */
  readonly extra: readonly string[];
}

/**
 * Of the other entry: what says for which machine it is, and what it loads (uapi-group.org, Boot
 * Loader Specification).
 */
const KEPT = new Set(["version", "machine-id", "architecture", "linux", "initrd", "devicetree", "devicetree-overlay"]);
const MARK = "# nightlatch-oneshot ";

/**
 * Writes a type 1 entry that does what another does, with more initrds. It has no sort key: entries
 * that have one come before those without, and the first is the default where none is configured.
 */
export function formatBlsOneshot(
  other: string,
  mark: OneshotMark,
  { title, options, extra }: BlsOneshotRequest,
): string {
  const kept = other.split(/\r?\n/).flatMap((line) => {
    const [, key, value] = /^([^#\s]\S*)\s+(.*)$/.exec(line.trim()) ?? [];
    return key !== undefined && value !== undefined && KEPT.has(key) ? [`${key} ${value}`] : [];
  });
  const lines = [
    `${MARK}${formatMark(mark)}`,
    `title ${title.replace(/\s+/g, " ")}`,
    ...kept,
    ...extra.map((path) => `initrd ${path}`),
    ...(options === "" ? [] : [`options ${options}`]),
  ];
  return `${lines.join("\n")}\n`;
}

/**
 * Reads our mark in an entry file. Null where it has none.
 * @throws NightlatchError oneshot/malformed, json/*
 */
export function markInBls(text: string): OneshotMark | null {
  const line = text.split("\n").find((one) => one.startsWith(MARK));
  return line === undefined ? null : parseMark(line.slice(MARK.length));
}
