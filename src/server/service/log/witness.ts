import { createPublicKey } from "node:crypto";
import { cosign, formatCosignature } from "../../../formats/log/cosignature.ts";
import { EMPTY_RANGE, rootOf } from "../../../formats/log/merkle.ts";
import {
  type Checkpoint,
  isSignedCheckpoint,
  originOf,
  parseNote,
  rawKey,
  type Verifier,
} from "../../../formats/log/note.ts";
import { provesGrowth } from "../../../formats/log/proof.ts";
import { parseSubmission } from "../../../formats/log/submission.ts";
import type { Entry } from "../../audit/entry.ts";
import type { WitnessedLogRow } from "../../store/rows.ts";
import type { Recorded } from "../queue.ts";
import type { Service } from "../service.ts";

/** What a log gets that shows a checkpoint. */
type SubmissionOutcome =
  /** The line of the cosignature. What it says is durable. */
  | { readonly kind: "cosigned"; readonly line: string }
  /** It is no submission, or not one of any growth. */
  | { readonly kind: "malformed" }
  /** No log of this origin is cosigned here. */
  | { readonly kind: "unknown" }
  /** It is not signed by the log. */
  | { readonly kind: "unsigned" }
  /** Another size was signed last. */
  | { readonly kind: "conflict"; readonly size: number }
  /** The log has not grown from there. */
  | { readonly kind: "inconsistent" };

/** What the root of no entries is. */
const EMPTY_ROOT = rootOf(EMPTY_RANGE);

/** The name and the key that this server cosigns the logs of others with. */
export function witnessOf({ storeId, witnessKey }: Pick<Service, "storeId" | "witnessKey">): Verifier {
  return { origin: `${originOf(storeId)}/witness`, publicKey: createPublicKey(witnessKey) };
}

/**
 * Cosigns a checkpoint of a log, if it has grown from the one that was cosigned last. The new one
 * is durable before anything is signed, so whatever crashes, two are never signed of which neither
 * has grown from the other: docs/format/witness.md.
 * @throws NightlatchError store/*
 */
export async function witness(service: Service, body: Uint8Array, from: string): Promise<SubmissionOutcome> {
  const submission = parseSubmission(body);
  if (submission === null) return { kind: "malformed" };
  const { origin, note, oldSize, proof } = submission;
  const known = await service.store.transact((transaction) => transaction.witnessedLog(origin));
  if (known === null) return { kind: "unknown" };
  // Before the queue: a signature that does not hold costs nobody else anything.
  const checkpoint = parseNote(note, known.publicKey);
  if (checkpoint === null || !isSignedCheckpoint(checkpoint, known.publicKey)) return { kind: "unsigned" };
  if (oldSize > checkpoint.size) return { kind: "malformed" };
  const nowMs = service.system.nowMs();
  const judged = await service.queue.submit<Exclude<SubmissionOutcome, { kind: "cosigned" }> | null>(
    async (transaction) => {
      const log = await transaction.witnessedLog(origin);
      if (log === null || !isSameKey(log, known)) return { outcome: { kind: "unknown" }, entries: [] };
      if (oldSize !== log.size) return { outcome: { kind: "conflict", size: log.size }, entries: [] };
      if (!hasGrown(log, checkpoint, proof)) return inconsistent(service, { origin, from, nowMs });
      // One that was signed before may be signed again: there is nothing to note.
      if (log.cosignedMs !== null && checkpoint.size === log.size) return { outcome: null, entries: [] };
      const { size, root } = checkpoint;
      await transaction.setWitnessedLog({ ...log, size, root, note, cosignedMs: nowMs });
      return { outcome: null, entries: [], wrote: true };
    },
  );
  if (judged !== null) return judged;
  const cosignature = cosign(checkpoint, Math.floor(nowMs / 1000), service.witnessKey);
  return { kind: "cosigned", line: formatCosignature(cosignature, witnessOf(service)) };
}

function hasGrown(log: WitnessedLogRow, checkpoint: Checkpoint, proof: readonly Buffer[]): boolean {
  if (checkpoint.size === 0 && !checkpoint.root.equals(EMPTY_ROOT)) return false;
  return provesGrowth(log, checkpoint, proof);
}

function isSameKey(one: WitnessedLogRow, other: WitnessedLogRow): boolean {
  return rawKey(one.publicKey).equals(rawKey(other.publicKey));
}

/** Both checkpoints are signed by the log: that is for people to see. */
function inconsistent(
  { refusals }: Service,
  { origin, from, nowMs }: { readonly origin: string; readonly from: string; readonly nowMs: number },
): Recorded<{ readonly kind: "inconsistent" }> {
  const entry: Entry | null = refusals.count({ reason: "witness/inconsistent", subject: origin }, from, nowMs);
  return { outcome: { kind: "inconsistent" }, entries: entry === null ? [] : [entry] };
}
