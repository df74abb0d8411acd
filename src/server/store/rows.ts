import type { KeyObject } from "node:crypto";
import type { Cosignature } from "../../formats/log/cosignature.ts";
import type { SignedCheckpoint, Verifier } from "../../formats/log/note.ts";
import type { StoredPulse } from "../policy/alive.ts";
import type { State } from "../policy/decide.ts";
import type { Lease, LeaseUse, Policy } from "../policy/lease.ts";
import type { AskedRequest } from "../policy/request.ts";
import type { StoredSite, StoredWindow } from "../policy/site.ts";
import type { Terms, TermsSource } from "../policy/terms.ts";

/** A witness that is asked to cosign this log. */
export interface WitnessRow {
  readonly name: string;
  readonly publicKey: KeyObject;
  /** Base address of its server. */
  readonly url: string;
  /** The size that it has signed last, as far as it has said so; 0 for none. */
  readonly seen: number;
}

/** What a witness has signed. */
export interface CosignatureRow {
  readonly checkpoint: SignedCheckpoint;
  readonly witness: Verifier;
  readonly cosignature: Cosignature;
}

/** A log that this server cosigns. */
export interface WitnessedLogRow {
  readonly origin: string;
  readonly publicKey: KeyObject;
  /** Of the checkpoint that was signed last; 0 for none. */
  readonly size: number;
  readonly root: Buffer;
  /** Its note, as the log has signed it; empty for none. */
  readonly note: string;
  /** When it was signed; null for never. */
  readonly cosignedMs: number | null;
}

/** The last release of one latch. */
export interface LastRelease {
  readonly machineId: string;
  readonly body: Buffer;
}

/** What a release needs to know of a latch. */
export interface ReleaseRow {
  readonly machineId: string;
  readonly machineState: State;
  readonly policy: Policy;
  readonly limits: string | null;
  /** Null where the machine has none. */
  readonly lease: LeaseRow | null;
  readonly latchState: State;
  /** The latch's first release within the last lease in which it was released. */
  readonly use: LeaseUse | null;
  readonly latchEpoch: number;
  /** The group that the machine is in, and what became of it there. */
  readonly group: string | null;
  readonly goneIn: number | null;
  readonly goneFrom: Buffer | null;
  readonly letIn: number | null;
  /** The exchange key; null once it is destroyed. */
  readonly exchange: { readonly kid: string; readonly wrapped: Buffer; readonly cell: number } | null;
}

/** A latch as it is stored. */
export interface LatchRow {
  readonly id: string;
  readonly machineId: string;
  readonly volume: string;
  readonly state: State;
  readonly epoch: number;
  readonly nonce: string;
  readonly createdMs: number;
  /** What `GET /latch/{id}/adv` answers. */
  readonly advertisement: string;
  /** What its keys are wrapped with. Null where they were destroyed before there were cells. */
  readonly cell: number | null;
  /** Its first release within the last lease in which it was released. */
  readonly use: LeaseUse | null;
}

/** The epoch before a latch's own, whose keys are released until it is over. */
export interface FormerEpoch {
  readonly latch: string;
  readonly epoch: number;
  /** What its keys are wrapped with. */
  readonly cell: number;
}

/** What a key of a latch is for. */
export type KeyPurpose = "exchange" | "signing";

/** A key of a latch as it is stored. */
export interface KeyRow {
  readonly purpose: KeyPurpose;
  readonly epoch: number;
  /** S256 thumbprint. */
  readonly kid: string;
  readonly publicJwk: string;
  readonly wrapped: Buffer;
}

/** A lease as it is stored. */
export interface LeaseRow extends Lease {
  /** The log's size when it was made: what came later is in the entries from this number on. */
  readonly madeAt: number;
  /** User id of the operator who made it; null where the machine itself announced it. */
  readonly by: number | null;
}

/** What a machine under `alive` is released by after a restart, as it is stored. */
export interface AliveRow extends StoredPulse {
  /** The log's size when it was written: what came later is in the entries from this number on. */
  readonly madeAt: number;
}

/** Whether a request waits for operators, or one of them has denied it. */
export type RequestState = AskedRequest["state"];

/** A machine that asks, and where from. */
export interface CrowdPlace {
  readonly machineId: string;
  readonly from: string;
  /** What is counted as one place, and as its surroundings: network.ts. */
  readonly network: string;
  readonly around: string;
}

/** A request for an approval as it is stored. There is one for a machine and an address. */
export interface RequestRow extends AskedRequest, CrowdPlace {
  readonly id: string;
  readonly createdMs: number;
  /** The log's size when it was made: what came later is in the entries from this number on. */
  readonly madeAt: number;
  /** The operator who made it; null where the machine asked, or whoever has its latch's address. */
  readonly by: number | null;
}

/** What must hold for a machine to be released, but for how long it may be silent. */
export interface PolicyTerms extends Omit<Terms, "timeoutMs"> {
  /** Of whom it was said. */
  readonly source: TermsSource;
}

/** A group of machines as it is stored. That of the name `default` has no machines. */
export interface GroupRow {
  readonly name: string;
  readonly createdMs: number;
  /** What was said of it: null where nothing was. */
  readonly terms: Terms | null;
  readonly site: SiteRow;
}

/** Where a group stands as a site: docs/policy.md. */
export interface SiteRow extends StoredSite {
  /** Since when it is held or open; null where it never was. */
  readonly sinceMs: number | null;
  /** User id of the operator who said so last; null where none did. */
  readonly by: number | null;
  readonly open: (StoredWindow & { /** The log's size when it was opened. */ readonly madeAt: number }) | null;
}

/** How a machine fell silent with its site. */
export interface Gone {
  /** In which of the site's holds. */
  readonly goneIn: number;
  /** Where it had been alive from, packed (service/place.ts); null where that is not known. */
  readonly goneFrom: Buffer | null;
}

/** A machine as it is stored. */
export interface MachineRow extends PolicyTerms {
  /** Thumbprint of its identity. */
  readonly id: string;
  readonly name: string;
  readonly state: State;
  readonly epoch: number;
  readonly enrolledMs: number;
  /** How many leases it ever had: the number of the last one. */
  readonly leases: number;
  /** The one that it has; null where it has none. It may be over, which time alone tells. */
  readonly lease: LeaseRow | null;
  /** Null under another policy than `alive`. */
  readonly alive: AliveRow | null;
  /** When it was last heard, as far as that was written; null where it never was. */
  readonly seenMs: number | null;
  /** Where it was last heard from, packed, as far as that was written; null where it never was. */
  readonly seenFrom: Buffer | null;
  /** The name of the group that it is in; null where it is in none. */
  readonly group: string | null;
  /** The hold of its site in which it fell silent with others, and where it had been alive from. */
  readonly goneIn: number | null;
  readonly goneFrom: Buffer | null;
}

/** What a start has to know of a machine under `alive`. */
export interface WatchedMachine extends Pick<MachineRow, "id" | "state" | "alive" | "goneIn"> {
  /** Where it lies in the store: greater than those before. */
  readonly place: number;
}

/**
 * The state of an invite. `void`: another one for the same name took its place, an operator made it
 * so, or it has expired.
 */
export type InviteState = "open" | "used" | "void";

/** An invite as it is stored. */
export interface InviteRow {
  readonly id: string;
  readonly name: string;
  readonly state: InviteState;
  /** Empty once it is destroyed: the invite was used, is void or has expired. */
  readonly wrappedKey: Buffer;
  /** What its key is wrapped with. Null where it was destroyed before there were cells. */
  readonly cell: number | null;
  readonly createdMs: number;
  readonly expiresMs: number;
  /** The log's size when it was made: what came later is in the entries from this number on. */
  readonly madeAt: number;
  readonly machineId: string | null;
  /** The group that whoever comes with it is put into; null: into none. */
  readonly group: string | null;
}
