import { createPublicKey } from "node:crypto";
import type { Cosignature } from "../../../formats/log/cosignature.ts";
import { formatCosignature } from "../../../formats/log/cosignature.ts";
import { formatNote, type SignedCheckpoint } from "../../../formats/log/note.ts";
import { consistencyRanges } from "../../../formats/log/proof.ts";
import { buildSubmission } from "../../../formats/log/submission.ts";
import { hashRanges } from "../../audit/nodes.ts";
import type { Reads } from "../../store/port.ts";
import type { CosignatureRow, WitnessRow } from "../../store/rows.ts";
import type { Service } from "../service.ts";
import { keepLogNodes } from "./nodes.ts";

/** What is to be asked of which witnesses now. */
interface Round {
  readonly checkpoint: SignedCheckpoint;
  /** Those that have not signed it yet. */
  readonly witnesses: readonly WitnessRow[];
}

/**
 * Finds who has not signed the log as it is. Null where nobody is to.
 * @throws NightlatchError store/*
 */
export async function nextRound(service: Pick<Service, "store">): Promise<Round | null> {
  return service.store.transact(async (transaction) => {
    const witnesses = await transaction.witnesses();
    const checkpoint = witnesses.length === 0 ? null : await transaction.checkpoint();
    if (checkpoint === null) return null;
    const signed = new Set(
      (await transaction.cosigned()).flatMap((row) =>
        row.checkpoint.size === checkpoint.size ? [row.witness.origin] : [],
      ),
    );
    const due = witnesses.filter(({ name }) => !signed.has(name));
    return due.length === 0 ? null : { checkpoint, witnesses: due };
  });
}

/**
 * Writes what a witness is sent.
 * @param oldSize what it has signed last; not more than the checkpoint's size
 * @throws NightlatchError store/*
 */
export async function submissionFor(
  service: Pick<Service, "store" | "identity">,
  checkpoint: SignedCheckpoint,
  oldSize: number,
): Promise<Buffer> {
  await keepLogNodes(service);
  const proof = await service.store.transact((transaction) =>
    hashRanges(transaction, consistencyRanges(oldSize, checkpoint.size)),
  );
  return buildSubmission({ oldSize, proof, note: formatNote(checkpoint, createPublicKey(service.identity)) });
}

/** What a witness has come to: which size it has signed, and how, where it has signed this one. */
export interface WitnessAnswer {
  readonly name: string;
  readonly seen: number;
  readonly cosignature: Cosignature | null;
}

/** Keeps what witnesses have said of a checkpoint. @throws NightlatchError store/* */
export async function keepAnswers(
  service: Pick<Service, "queue">,
  { size }: SignedCheckpoint,
  heard: readonly WitnessAnswer[],
): Promise<void> {
  await service.queue.submit(async (transaction) => {
    const rows = new Map((await transaction.witnesses()).map((row) => [row.name, row]));
    for (const { name, seen, cosignature } of heard) {
      const row = rows.get(name);
      if (row === undefined) continue; // an operator has removed it meanwhile
      await transaction.setWitness({ ...row, seen });
      if (cosignature !== null) await transaction.insertCosignature(size, name, cosignature);
    }
    return { outcome: null, entries: [], wrote: true };
  });
}

/** A checkpoint that witnesses have signed. */
export interface CosignedCheckpoint {
  readonly checkpoint: SignedCheckpoint;
  /** The log's signature, and theirs. */
  readonly note: string;
}

/**
 * Finds the last checkpoint that so many witnesses have signed.
 * @returns null where there is none
 * @throws NightlatchError store/*
 */
export async function lastCosigned(
  transaction: Pick<Reads, "cosigned">,
  identity: Service["identity"],
  count: number,
): Promise<CosignedCheckpoint | null> {
  const bySize = Map.groupBy(await transaction.cosigned(), ({ checkpoint }) => checkpoint.size);
  for (const rows of bySize.values()) {
    const [first] = rows;
    if (first === undefined || rows.length < count) continue;
    return { checkpoint: first.checkpoint, note: cosignedNote(rows, first.checkpoint, identity) };
  }
  return null;
}

function cosignedNote(
  rows: readonly CosignatureRow[],
  checkpoint: SignedCheckpoint,
  identity: Service["identity"],
): string {
  const lines = rows.map(({ cosignature, witness }) => formatCosignature(cosignature, witness));
  return `${formatNote(checkpoint, createPublicKey(identity))}${lines.join("")}`;
}
