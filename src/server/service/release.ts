import { NightlatchError } from "../../core/errors.ts";
import { toBytes } from "../../formats/curve.ts";
import type { JsonObject } from "../../formats/json.ts";
import { hasThumbprint, type PublicJwk } from "../../formats/jwk.ts";
import { recoveryPoint } from "../../formats/tang.ts";
import type { Entry } from "../audit/entry.ts";
import { decide, type RefusalReason } from "../policy/decide.ts";
import type { ReleaseRow, Transaction } from "../store/port.ts";
import type { Recorded } from "./queue.ts";
import type { Service } from "./service.ts";

export interface ReleaseRequest {
  readonly latchId: string;
  readonly kid: string;
  /** The body, as parseRecoveryRequest gives it. */
  readonly body: JsonObject;
  /** The peer's address, for the receipt. */
  readonly from: string;
}

export type ReleaseOutcome =
  | { readonly kind: "released" /** Y, uncompressed. */; readonly point: Buffer }
  | { readonly kind: "refused"; readonly reason: RefusalReason }
  /** No such latch or key. */
  | { readonly kind: "unknown" }
  /** The key named is a signing key. */
  | { readonly kind: "wrong-key" }
  /** The point is none of the key's curve. */
  | { readonly kind: "bad-point" };

type Judged =
  | Exclude<ReleaseOutcome, { kind: "released" }>
  | { readonly kind: "granted"; readonly point: Buffer; readonly wrapped: Buffer; readonly epoch: number };

/**
 * Answers one recovery request, if the policy lets it. The receipt is on the disk before the exchange is even computed.
 * @throws NightlatchError store/*
 */
export async function release(service: Service, request: ReleaseRequest): Promise<ReleaseOutcome> {
  const judged = await service.queue.submit((transaction) => judge(service, transaction, request));
  if (judged.kind !== "granted") return judged;
  using scalar = service.master.unwrap(judged.wrapped, {
    purpose: "exchange",
    id: request.latchId,
    epoch: judged.epoch,
  });
  return { kind: "released", point: service.exchange.multiply(scalar.reveal(), judged.point) };
}

async function judge(service: Service, transaction: Transaction, request: ReleaseRequest): Promise<Recorded<Judged>> {
  const row = await transaction.release(request.latchId);
  if (row === null) return silent({ kind: "unknown" });
  const { exchange } = row;
  if (exchange === null)
    return refuse(service, request, row.latchState === "revoked" ? "latch/revoked" : missingKey(row));
  if (exchange.kid !== request.kid && !hasThumbprint(parseStored(exchange.publicJwk), request.kid)) {
    return silent({ kind: (await isSigningKey(transaction, request)) ? "wrong-key" : "unknown" });
  }
  const point = pointIn(request.body);
  if (point === null) return silent({ kind: "bad-point" });

  const nowMs = service.system.nowMs();
  const decision = decide(
    { state: row.machineState },
    { state: row.latchState, pace: service.paces.of(request.latchId) },
    nowMs,
  );
  if (!decision.release) return refuse(service, request, decision.reason);
  service.paces.set(request.latchId, decision.pace);
  const receipt: Entry = {
    kind: "release",
    at: nowMs,
    machine: row.machineId,
    latch: request.latchId,
    epoch: row.latchEpoch,
    from: request.from,
  };
  return {
    outcome: { kind: "granted", point, wrapped: exchange.wrapped, epoch: row.latchEpoch },
    entries: [receipt],
  };
}

function refuse(service: Service, request: ReleaseRequest, reason: RefusalReason): Recorded<Judged> {
  const entry = service.refusals.note({ reason, subject: request.latchId }, request.from, service.system.nowMs());
  return { outcome: { kind: "refused", reason }, entries: entry === null ? [] : [entry] };
}

function silent(outcome: Judged): Recorded<Judged> {
  return { outcome, entries: [] };
}

async function isSigningKey(transaction: Transaction, { latchId, kid }: ReleaseRequest): Promise<boolean> {
  const keys = await transaction.keys(latchId);
  return keys.some((key) => key.purpose === "signing" && hasThumbprint(parseStored(key.publicJwk), kid));
}

/** What the server itself wrote. */
export function parseStored(publicJwk: string): PublicJwk {
  return JSON.parse(publicJwk) as PublicJwk;
}

function pointIn(body: JsonObject): Buffer | null {
  try {
    const { curve, x, y } = recoveryPoint(body, "P-256");
    return Buffer.concat([Buffer.of(4), toBytes(x, curve.lengthBytes), toBytes(y, curve.lengthBytes)]);
  } catch (error) {
    if (error instanceof NightlatchError) return null;
    throw error;
  }
}

function missingKey(row: ReleaseRow): never {
  throw new NightlatchError("store/damaged", `a latch of machine ${row.machineId} has lost its key`, {
    remedy: "Run nightlatch audit verify, and restore the store and its master key from the same backup.",
  });
}
