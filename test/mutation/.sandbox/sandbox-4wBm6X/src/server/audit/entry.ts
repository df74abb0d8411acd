// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";
import { type JsonObject, parseJson } from "../../formats/json/json.ts";
import type { Policy } from "../policy/lease.ts";
import type { TermsSource } from "../policy/terms.ts";

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

interface Dated {
  /** Milliseconds since the epoch, by the server's clock. */
  readonly at: number;
}

/** The log's first entry. */
interface StoreEntry extends Dated {
  readonly kind: "store";
  readonly store: string;
}

/**
 * An operator took an older copy of the store into use. What was done after it is lost, revocations
 * among it.
 */
interface RollbackEntry extends Dated {
  readonly kind: "rollback";
  /** How many entries the log had come to before; `root` is the tree's root over them, base64. */
  readonly size: number;
  readonly root: string;
}

/** An operator made an invite. */
interface InviteEntry extends Dated {
  readonly kind: "invite";
  readonly invite: string;
  readonly name: string;
  readonly expires: number;
  /** The operator's user id on the server. */
  readonly by: number;
}

/**
 * A machine that was known came with an invite, and got the latch that it had got for the same
 * nonce before.
 */
interface InviteUseEntry extends Dated {
  readonly kind: "invite-used";
  readonly invite: string;
  readonly machine: string;
  readonly from: string;
}

/** An operator made an invite void. */
interface InviteVoidEntry extends Dated {
  readonly kind: "invite-void";
  readonly invite: string;
  readonly name: string;
  readonly by: number;
}

/** Nobody used an invite in time. */
interface InviteExpiryEntry extends Dated {
  readonly kind: "invite-expired";
  readonly invite: string;
  readonly name: string;
}

/**
 * A machine came with an invite and got its first latch (`enrol`); or it was known already and got
 * one more (`latch`).
 */
interface BindingEntry extends Dated {
  readonly kind: "enrol" | "latch";
  readonly invite?: string;
  readonly machine: string;
  readonly name: string;
  readonly latch: string;
  readonly volume: string;
  /** S256 thumbprint of the exchange key. */
  readonly kid: string;
  readonly from: string;
}

/** An operator changed a machine's state, and with it that of all its latches. */
interface MachineEntry extends Dated {
  readonly kind: "machine-lock" | "machine-unlock" | "machine-revoke";
  readonly machine: string;
  readonly name: string;
  /** The machine's epoch from now on. */
  readonly epoch: number;
  readonly by: number;
}

/**
 * A machine under `alive` was not heard for longer than its timeout, and is locked since, as by
 * `machine-lock`.
 */
interface GoneEntry extends Dated {
  readonly kind: "machine-gone";
  readonly machine: string;
  readonly name: string;
  readonly epoch: number;
  /** Milliseconds. */
  readonly timeout: number;
  /** When it was last heard; absent where it never was. */
  readonly last?: number;
}

/** An operator changed one latch's state. */
interface LatchEntry extends Dated {
  readonly kind: "latch-lock" | "latch-unlock" | "latch-revoke";
  readonly machine: string;
  readonly latch: string;
  readonly by: number;
}

/** A latch has keys of the next epoch; those of the one before are released as well for now. */
interface LatchRotateEntry extends Dated {
  readonly kind: "latch-rotate";
  readonly machine: string;
  readonly latch: string;
  /** The epoch that was begun. */
  readonly epoch: number;
  /** S256 thumbprint of its exchange key. */
  readonly kid: string;
  readonly by: number;
}

/** The keys of a latch's former epoch were destroyed. */
interface LatchRetireEntry extends Dated {
  readonly kind: "latch-retire";
  readonly machine: string;
  readonly latch: string;
  /** The epoch that is over. */
  readonly epoch: number;
  /** Where the machine said from that it needs them no more; absent where an operator did. */
  readonly from?: string;
  readonly by?: number;
}

/** An operator changed what must hold for a machine to be released. A lease that it had is void. */
interface PolicyEntry extends Dated, Partial<LoggedTerms> {
  readonly kind: "machine-policy";
  readonly machine: string;
  readonly name: string;
  readonly policy: Policy;
  /** Of whom it was said; absent in entries of older versions. */
  readonly source?: TermsSource;
  readonly by: number;
}

/** What must hold for a release. */
interface LoggedTerms {
  readonly policy: Policy;
  /** Of `approval`: so many operators must approve. */
  readonly of?: number;
  /**
   * Of `approval`: how long a request waits for them; of `alive`: for how long the machine may be
   * silent. Milliseconds.
   */
  readonly timeout?: number;
  /** What bounds releases under any policy, as limitsText puts it; absent where nothing does. */
  readonly limits?: string;
}

/** An operator made a group, or removed one that had no machines. */
interface GroupEntry extends Dated {
  readonly kind: "group-add" | "group-remove";
  readonly group: string;
  readonly by: number;
}

/**
 * An operator changed what must hold for the machines of a group, but for those of which something
 * was said by themselves; of the group `default`, for those that enrol from now on. Without a
 * policy nothing is said of it any more.
 */
interface GroupPolicyEntry extends Dated, Partial<LoggedTerms> {
  readonly kind: "group-policy";
  readonly group: string;
  readonly by: number;
}

/** An operator put a machine into a group, out of the one that it was in, or into none. */
interface MemberEntry extends Dated {
  readonly kind: "group-join" | "group-leave";
  readonly machine: string;
  /** The machine's. */
  readonly name: string;
  readonly group: string;
  readonly by: number;
}

/**
 * Nobody of a site is released: an operator said so; or so many machines fell silent together, of
 * so many that were there; or the site's window was over, or nobody could tell, when the server was
 * restarted or went on.
 */
interface SiteHoldEntry extends Dated {
  readonly kind: "site-hold";
  readonly group: string;
  /** Counts the site's holds. */
  readonly hold: number;
  readonly by?: number;
  readonly silent?: number;
  readonly of?: number;
  readonly restart?: 1;
}

/** An operator lets the machines of a site in, so many in so many milliseconds, until then. */
interface SiteReleaseEntry extends Dated {
  readonly kind: "site-release";
  readonly group: string;
  readonly hold: number;
  /** Counts the site's windows. */
  readonly window: number;
  readonly count: number;
  readonly per: number;
  readonly until: number;
  readonly by: number;
}

/** A site's window is over, and the site is as ever. */
interface SiteEndEntry extends Dated {
  readonly kind: "site-end";
  readonly group: string;
  readonly hold: number;
}

/** A machine got a lease, in place of the one that it had. */
interface LeaseEntry extends Dated {
  readonly kind: "lease";
  readonly machine: string;
  /** Counts the machine's leases. */
  readonly lease: number;
  readonly until: number;
  /** Milliseconds. */
  readonly grace: number;
  /** Where the machine itself announced it from; absent where an operator made it. */
  readonly from?: string;
  /** The operator who made it, or whose lease it goes on with; absent where it is the machine's. */
  readonly by?: number;
  /** The one address that it is open for; absent where it is any. */
  readonly to?: string;
  /** The request that was approved with it, and is over. */
  readonly request?: string;
}

/**
 * A lease ended by its time; with `from`, because the machine took it back; with `why`, because
 * it was heard after the boot for which the lease was.
 */
interface LeaseEndEntry extends Dated {
  readonly kind: "lease-end";
  readonly machine: string;
  readonly lease: number;
  readonly from?: string;
  readonly why?: "booted";
}

/**
 * Operators are asked to have a machine released to an address. The machine's first ask began it,
 * or, with `by`, an operator did.
 */
interface RequestEntry extends Dated {
  readonly kind: "request";
  readonly request: string;
  readonly machine: string;
  /** The address. */
  readonly from: string;
  /** When it expires. */
  readonly until: number;
  /** The latch that was asked for; absent where an operator began it. */
  readonly latch?: string;
  readonly by?: number;
}

/** An operator approved of a request, or denied it. */
interface RequestVoteEntry extends Dated {
  readonly kind: "request-approve" | "request-deny";
  readonly request: string;
  readonly machine: string;
  readonly by: number;
}

/** A request expired, whatever operators had said of it. */
interface RequestExpiryEntry extends Dated {
  readonly kind: "request-expired";
  readonly request: string;
  readonly machine: string;
}

/** A latch was released: this is the receipt. */
interface ReleaseEntry extends Dated {
  readonly kind: "release";
  readonly machine: string;
  readonly latch: string;
  /** The epoch of the key that answered. */
  readonly epoch: number;
  readonly from: string;
  /** Number of the lease that the latch was released in for the first time; else absent. */
  readonly lease?: number;
  /** Number of the window of its site that has let the machine in with this; else absent. */
  readonly window?: number;
  /** Where releases are counted: which one of its day it was, and when that day began. */
  readonly day?: number;
  readonly since?: number;
}

/**
 * The latch is released however often it is asked until `until`, because it was asked too often for
 * a receipt each.
 */
export interface FloodEntry extends Dated {
  readonly kind: "flood";
  readonly machine: string;
  readonly latch: string;
  readonly epoch: number;
  /** Where it is released to; absent where there are too many addresses to tell apart. */
  readonly from?: string;
  readonly until: number;
}

/** How often the latch was released under the receipt of `since`. */
export interface FloodEndEntry extends Dated {
  readonly kind: "flood-end";
  readonly machine: string;
  readonly latch: string;
  readonly epoch: number;
  readonly from?: string;
  readonly count: number;
  readonly since: number;
  /** When the last of them was; absent in entries of older versions. */
  readonly last?: number;
}

/** An operator has a witness asked to cosign this log, or no more. */
interface WitnessEntry extends Dated {
  readonly kind: "witness-add" | "witness-remove";
  readonly witness: string;
  /** Its verifier key and its address; absent where it is asked no more. */
  readonly key?: string;
  readonly url?: string;
  readonly by: number;
}

/** An operator has the log of another server cosigned here, or no more. */
interface WitnessedEntry extends Dated {
  readonly kind: "witnessed-add" | "witnessed-remove";
  readonly origin: string;
  /** Its verifier key; absent where it is cosigned no more. */
  readonly key?: string;
  /** What was signed last, and is forgotten. */
  readonly size?: number;
  readonly by: number;
}

/** The first refusal of its kind in an hour. */
export interface RefusalEntry extends Dated {
  readonly kind: "refusal";
  readonly reason: string;
  /**
   * The id of a latch, a machine or an invite; absent where there is none, or there are too many.
   */
  readonly subject?: string;
  /**
   * Whose identity came with the invite that is the subject, where the server knows that identity
   * by another name.
   */
  readonly machine?: string;
  readonly from: string;
}

/** How many more refusals of the kind there were until `at`. */
export interface RepeatEntry extends Dated {
  readonly kind: "refusals";
  readonly reason: string;
  readonly subject?: string;
  readonly count: number;
  readonly since: number;
}

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
