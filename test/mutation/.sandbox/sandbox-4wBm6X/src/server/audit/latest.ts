// @ts-nocheck
import { isJsonObject, type Json } from "../../formats/json/json.ts";

/**
 * What is asked of the log by subject: the releases of a latch; the refusals of a latch, a machine
 * or an invite.
 */
export type LatestKind = "release" | "refusal";

/** An entry as its number and its text. */
export type EntryText = readonly [number: number, body: string];

/** Which entry is the latest of a kind about a subject. */
export interface LatestRow {
  readonly kind: LatestKind;
  readonly subject: string;
  /** Number of the entry. */
  readonly entry: number;
}

/**
 * Entries as `encodeEntry` writes them. Text of a peer's has its quotes escaped, and so never looks
 * like this.
 */
const RELEASE = /"kind":"(?:release|flood|flood-end)",(?:"last":\d+,)?"latch":"([\w-]+)"/;
const REFUSAL = /"kind":"refusals?",/;

/**
 * What these entries add to the index of the latest ones: the last of each kind about each subject.
 * The server may have a release every hundred microseconds, and parsing the JSON of each would take
 * some of them.
 */
export function latestOf(entries: readonly EntryText[]): LatestRow[] {
  const found = new Map<string, LatestRow>();
  for (const [entry, body] of entries) {
    const latch = RELEASE.exec(body)?.[1];
    if (latch !== undefined) found.set(`release ${latch}`, { kind: "release", subject: latch, entry });
    if (latch !== undefined || !REFUSAL.test(body)) continue;
    const { subject: refused, machine } = readEntry(body);
    for (const subject of [refused, machine]) {
      if (typeof subject === "string") found.set(`refusal ${subject}`, { kind: "refusal", subject, entry });
    }
  }
  return [...found.values()];
}

/**
 * Reads an entry that the server itself wrote. It is empty where it was damaged since, which
 * verifying tells of.
 */
export function readEntry(body: Buffer | string): Readonly<Record<string, Json>> {
  try {
    const entry = JSON.parse(body.toString()) as Json;
    return isJsonObject(entry) ? entry : {};
  } catch {
    return {};
  }
}
