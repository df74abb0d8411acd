import { NightlatchError } from "../../core/errors.ts";
import { type JsonObject, parseJson } from "../../formats/json/json.ts";
import type {
  BindingEntry,
  InviteEntry,
  InviteExpiryEntry,
  InviteUseEntry,
  InviteVoidEntry,
} from "./entries/enrolment.ts";
import type { LeaseEndEntry, LeaseEntry, RequestEntry, RequestExpiryEntry, RequestVoteEntry } from "./entries/lease.ts";
import type { GoneEntry, LatchEntry, LatchRetireEntry, LatchRotateEntry, MachineEntry } from "./entries/machine.ts";
import type { GroupEntry, GroupPolicyEntry, MemberEntry, PolicyEntry } from "./entries/policy.ts";
import type { FloodEndEntry, FloodEntry, RefusalEntry, ReleaseEntry, RepeatEntry } from "./entries/release.ts";
import type { SiteEndEntry, SiteHoldEntry, SiteReleaseEntry } from "./entries/site.ts";
import type { RollbackEntry, StoreEntry } from "./entries/store.ts";
import type { WitnessEntry, WitnessedEntry } from "./entries/witness.ts";

/**
 * One leaf of the log. docs/format/audit.md describes each kind; the members of a kind never change
 * their meaning.
 */
export type Entry =
  | StoreEntry
  | RollbackEntry
  | InviteEntry
  | InviteUseEntry
  | InviteVoidEntry
  | InviteExpiryEntry
  | BindingEntry
  | MachineEntry
  | LatchEntry
  | LatchRotateEntry
  | LatchRetireEntry
  | GoneEntry
  | PolicyEntry
  | GroupEntry
  | GroupPolicyEntry
  | MemberEntry
  | SiteHoldEntry
  | SiteReleaseEntry
  | SiteEndEntry
  | LeaseEntry
  | LeaseEndEntry
  | RequestEntry
  | RequestVoteEntry
  | RequestExpiryEntry
  | ReleaseEntry
  | FloodEntry
  | FloodEndEntry
  | RefusalEntry
  | WitnessEntry
  | WitnessedEntry
  | RepeatEntry;

const MAX_ENTRY_BYTES = 4096;

/**
 * Encodes an entry in its canonical form, as RFC 8785 would write it: JSON without spaces, members
 * sorted by name, whole numbers and strings only.
 */
export function encodeEntry(entry: Entry): Buffer {
  const source = entry as unknown as Readonly<Record<string, string | number | undefined>>;
  let text = "";
  for (const name of Object.keys(source).sort()) {
    const value = source[name];
    if (value === undefined) continue;
    text += `${text === "" ? "{" : ","}"${name}":${typeof value === "number" ? value : JSON.stringify(value)}`;
  }
  return Buffer.from(`${text}}`);
}

/**
 * Reads an entry as it lies in the store: canonical, and of a kind. Members beyond that are the
 * business of whoever reads them.
 * @throws NightlatchError json/malformed, json/too-large, json/duplicate-key
 */
export function parseEntry(body: Uint8Array): JsonObject & { readonly kind: string; readonly at: number } {
  const entry = parseJson(body, "the audit entry", { lengthBytes: MAX_ENTRY_BYTES, depth: 1 });
  if (entry === null || typeof entry !== "object" || Array.isArray(entry)) throw malformed();
  const { kind, at } = entry as JsonObject;
  if (typeof kind !== "string" || typeof at !== "number") throw malformed();
  if (!Object.values(entry).every((value) => typeof value === "string" || Number.isSafeInteger(value)))
    throw malformed();
  if (!encodeEntry(entry as unknown as Entry).equals(body)) throw malformed();
  return { ...entry, kind, at };
}

function malformed(): NightlatchError {
  return new NightlatchError("json/malformed", "the audit entry is not in its canonical form");
}
