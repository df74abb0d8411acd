import { isJsonObject, type Json } from "../../formats/json.ts";
import type { LatestKind, LatestRow } from "../store/port.ts";
import type { NumberedEntry } from "./verify.ts";

const KINDS: ReadonlyMap<Json | undefined, LatestKind> = new Map([
  ["release", "release"],
  ["flood", "release"],
  ["flood-end", "release"],
  ["refusal", "refusal"],
  ["refusals", "refusal"],
]);

/** What these entries add to the index of the latest ones: the last of each kind about each subject. */
export function latestOf(entries: readonly NumberedEntry[]): LatestRow[] {
  const found = new Map<string, LatestRow>();
  for (const { number, body } of entries) {
    const entry = readEntry(body);
    const kind = KINDS.get(entry["kind"]);
    if (kind === undefined) continue;
    for (const subject of kind === "release" ? [entry["latch"]] : [entry["subject"], entry["machine"]]) {
      if (typeof subject === "string") found.set(`${kind} ${subject}`, { kind, subject, entry: number });
    }
  }
  return [...found.values()];
}

/** What the server itself wrote; empty where it was damaged since, which verifying tells of. */
export function readEntry(body: Buffer): Readonly<Record<string, Json>> {
  try {
    const entry = JSON.parse(body.toString()) as Json;
    return isJsonObject(entry) ? entry : {};
  } catch {
    return {};
  }
}
