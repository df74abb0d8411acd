import { createPublicKey } from "node:crypto";
import { formatNote } from "../../../formats/log/note.ts";
import { consistencyRanges, inclusionRanges } from "../../../formats/log/proof.ts";
import { identityThumbprint } from "../../../formats/own/enrolment.ts";
import {
  buildReceiptAnswer,
  type ProvedEntry,
  type ReceiptAnswer,
  type ReceiptRequest,
} from "../../../formats/own/receipt.ts";
import { hashRanges } from "../../audit/nodes.ts";
import type { NumberedEntry } from "../../audit/verify.ts";
import { take } from "../../policy/pace.ts";
import type { Reads } from "../../store/port.ts";
import type { MachineRow } from "../../store/rows.ts";
import type { Service } from "../service.ts";
import { type CosignedCheckpoint, lastCosigned } from "./cosigned.ts";
import { indexLog } from "./latest.ts";
import { keepLogNodes } from "./nodes.ts";

/**
 * Why there is no receipt. `receipt/too-many`: the machine, or whoever sends its request again, has
 * asked too often.
 */
export type ReceiptRefusal = "machine/unknown" | "machine/revoked" | "receipt/other-server" | "receipt/too-many";

/** What is answered: a signed message, or a refusal. */
type ReceiptOutcome = { readonly answer: Buffer } | { readonly refused: ReceiptRefusal };

/**
 * Tells a machine of the last release of one of its latches, with what proves that it is in the
 * log, and that the log has grown from the one that the machine knows: docs/format/receipt.md.
 * Nothing is recorded.
 * @throws NightlatchError store/*
 */
export async function giveReceipt(
  service: Service,
  { request, body }: { readonly request: ReceiptRequest; readonly body: Uint8Array },
): Promise<ReceiptOutcome> {
  if (request.server !== identityThumbprint(service.identity)) return { refused: "receipt/other-server" };
  const machine = await service.store.transact((transaction) => transaction.machine(request.machine));
  if (machine === null) return { refused: "machine/unknown" };
  if (machine.state === "revoked") return { refused: "machine/revoked" };
  // A request can be sent again by whoever saw it, and a proof costs more than a release.
  const subject = `receipt ${machine.id}`;
  const pace = take(service.paces.of(subject), service.system.nowMs());
  if (pace === null) return { refused: "receipt/too-many" };
  service.paces.set(subject, pace);
  await indexLog(service, 0);
  await keepLogNodes(service);
  const answer = await service.store.transact((transaction) => prove(service, transaction, request, machine));
  return { answer: buildReceiptAnswer(service.identity, body, answer) };
}

async function prove(
  service: Service,
  transaction: Reads,
  request: ReceiptRequest,
  machine: MachineRow,
): Promise<ReceiptAnswer> {
  const checkpoint = await transaction.checkpoint();
  if (checkpoint === null) throw new RangeError("a log has a checkpoint from its first entry on");
  const { size } = checkpoint;
  const latch = await transaction.latch(request.latch);
  const isOwn = latch?.machineId === machine.id;
  const release = isOwn ? await transaction.latest("release", request.latch) : null;
  const cosigned =
    request.cosigned === null ? undefined : await lastCosigned(transaction, service.identity, request.cosigned);
  return {
    cosigned: cosigned == null ? cosigned : await withGrowth(transaction, cosigned, size),
    note: formatNote(checkpoint, createPublicKey(service.identity)),
    release: await proved(transaction, release, size),
    growth: request.size > size ? null : await hashRanges(transaction, consistencyRanges(request.size, size)),
    rollback: await proved(transaction, await transaction.lastRollback(), size),
  };
}

async function withGrowth(transaction: Reads, { checkpoint, note }: CosignedCheckpoint, size: number) {
  return { note, growth: await hashRanges(transaction, consistencyRanges(checkpoint.size, size)) };
}

async function proved(transaction: Reads, entry: NumberedEntry | null, size: number): Promise<ProvedEntry | null> {
  if (entry === null) return null;
  return { ...entry, proof: await hashRanges(transaction, inclusionRanges(entry.number, size)) };
}
