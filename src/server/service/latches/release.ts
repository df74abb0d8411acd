import { NightlatchError } from "../../../core/errors.ts";
import { hasThumbprint, type PublicJwk } from "../../../formats/jose/jwk.ts";
import type { JsonObject } from "../../../formats/json/json.ts";
import { latestSince } from "../../audit/times.ts";
import { POINT_BYTES, SCALAR_BYTES } from "../../exchange/port.ts";
import { decide, type RefusalReason } from "../../policy/decide.ts";
import { readLimits } from "../../policy/limits.ts";
import type { Site, SiteMember } from "../../policy/site.ts";
import type { Transaction } from "../../store/port.ts";
import type { KeyRow, ReleaseRow } from "../../store/rows.ts";
import { keepPulse } from "../alive/alive.ts";
import { dayOf } from "../days.ts";
import type { Notice } from "../memory/notices.ts";
import { isSamePlace, packAddress } from "../memory/place.ts";
import { beginRequest, queueFor } from "../policies/requests.ts";
import type { Recorded } from "../queue.ts";
import type { Service } from "../service.ts";

/** A recovery request. */
interface ReleaseRequest {
  readonly latchId: string;
  readonly kid: string;
  /** The body, as parseRecoveryRequest gives it. */
  readonly body: JsonObject;
  /** The peer's address, for the receipt. */
  readonly from: string;
}

/** What is answered. */
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
  | { readonly kind: "begun"; readonly notice: Notice }
  | {
      readonly kind: "granted";
      readonly machine: string;
      readonly point: Buffer;
      readonly wrapped: Buffer;
      readonly cell: number;
      readonly epoch: number;
    };

/**
 * Answers one recovery request, if the policy lets it. The receipt is on the disk before the
 * exchange is even computed.
 * @throws NightlatchError store/*
 */
export async function release(service: Service, request: ReleaseRequest): Promise<ReleaseOutcome> {
  const judged = await service.queue.submitRelease((transaction) => judge(service, transaction, request));
  if (judged.kind === "begun") {
    service.notices.tell(judged.notice);
    return { kind: "refused", reason: "policy/waits" };
  }
  if (judged.kind !== "granted") return judged;
  const before = stopped(service, request, judged);
  if (before !== null) return before;
  const scalar = service.cells.unwrap(judged.cell, judged.wrapped, {
    purpose: "exchange",
    id: request.latchId,
    epoch: judged.epoch,
  });
  const point = await service.exchange.multiply(scalar, judged.point);
  return stopped(service, request, judged) ?? { kind: "released", point };
}

/** What came between a release and its answer; null where nothing did. */
function stopped(
  { halts, cells }: Service,
  { latchId }: ReleaseRequest,
  { machine, cell }: Extract<Judged, { kind: "granted" }>,
): ReleaseOutcome | null {
  // Its receipt is durable, but the operator's request came before the answer.
  if (halts.includes(machine, latchId)) return { kind: "refused", reason: "machine/locked" };
  // Revoked since, or in the same commit by an operation behind this one.
  if (cells.isEmpty(cell)) return { kind: "refused", reason: "latch/revoked" };
  return null;
}

async function judge(service: Service, transaction: Transaction, request: ReleaseRequest): Promise<Recorded<Judged>> {
  const row = await transaction.release(request.latchId);
  if (row === null) return silent({ kind: "unknown" });
  const { exchange } = row;
  if (exchange === null)
    return refuse(service, request, row.latchState === "revoked" ? "latch/revoked" : missingKey(row));
  // An older copy of the store was put back: its key is destroyed all the same.
  if (service.cells.isEmpty(exchange.cell)) return refuse(service, request, "latch/revoked");
  const key = exchange.kid === request.kid ? { ...exchange, epoch: row.latchEpoch } : await named(transaction, request);
  if (key === null || key === "signing") return silent({ kind: key === null ? "unknown" : "wrong-key" });
  const point = pointIn(request.body);
  if (point === null || !service.exchange.isPoint(point)) return silent({ kind: "bad-point" });

  const nowMs = service.system.nowMs();
  const isHalted = row.machineState === "active" && service.halts.includes(row.machineId, request.latchId);
  const { policy, lease, use } = row;
  const limits = row.limits === null ? null : readLimits(row.limits);
  // What is released always takes no more reads than it did before there were policies.
  const latestMs = policy === "always" || lease === null ? nowMs : await latestOf(transaction, lease.madeAt);
  const queue = policy === "approval" ? await queueFor(transaction, row.machineId, request.from) : null;
  const number = policy === "alive" ? service.pulses.find(row.machineId) : null;
  const pulse = number === null ? null : service.pulses.pulseOf(number);
  const alive = { pulse, monotonicMs: service.system.monotonicMs() };
  const site = siteOf(service, row, request.from);
  const isCounted = limits !== null && limits.perDay !== null;
  const day = isCounted ? await dayOf(service, transaction, request.latchId) : null;
  const decision = decide(
    {
      state: isHalted ? "locked" : row.machineState,
      policy,
      lease,
      alive,
      ...(limits === null ? {} : { limits }),
      ...(queue === null ? {} : { queue }),
      ...(site === null ? {} : { site }),
    },
    { state: row.latchState, pace: service.paces.of(request.latchId), use, day },
    { from: request.from, nowMs, latestMs, ...(limits === null ? {} : { minute: minuteOfDay(nowMs) }) },
  );
  if (!decision.release) {
    const { reason, begins } = decision;
    if (begins === true) return begin(service, transaction, request, row.machineId);
    // What waits was told of once, and what was denied too: whoever asks again leaves nothing.
    if (reason !== "policy/waits" && reason !== "policy/denied") return refuse(service, request, reason);
    if (queue?.own != null) service.asks.note(queue.own.id, nowMs);
    return silent({ kind: "refused", reason });
  }
  const { wrapped, cell, epoch } = key;
  const granted = { kind: "granted", machine: row.machineId, point, wrapped, cell, epoch } as const;
  const released = { machine: row.machineId, latch: request.latchId, epoch, from: request.from };
  // What has to be durable with its release has a receipt of its own, whatever the pace.
  const { enters } = decision;
  if (decision.use !== null || decision.day !== undefined || decision.pulse !== undefined || enters !== undefined) {
    const counted = decision.day === undefined ? {} : { day: decision.day.count, since: decision.day.sinceMs };
    const leased = {
      ...(decision.use === null ? {} : { lease: decision.use.lease }),
      ...(enters === undefined ? {} : { window: enters }),
    };
    if (decision.use !== null) await transaction.useLease(request.latchId, decision.use);
    if (decision.day !== undefined) service.days.set(request.latchId, decision.day);
    if (decision.pulse !== undefined && number !== null) {
      const { size } = await transaction.tree();
      await keepPulse(service, transaction, row.machineId, decision.pulse, size);
      service.pulses.setPulseWithin(number, decision.pulse);
    }
    if (enters !== undefined && row.group !== null) {
      await transaction.setLetIn(row.machineId, enters);
      service.sites.enter(row.group, alive.monotonicMs);
      if (number !== null) service.pulses.setGoneWithin(number, false);
    }
    if (decision.pace !== null) service.paces.set(request.latchId, decision.pace);
    return { outcome: granted, entries: [{ kind: "release", at: nowMs, ...released, ...leased, ...counted }] };
  }
  if (decision.pace === null) {
    const { entry, isKnown } = service.floods.count(released, nowMs);
    // On a full disk nobody could lock the machine. Then nothing is released on an earlier receipt
    // either.
    const stands = isKnown && service.queue.failure === null;
    return { outcome: granted, entries: stands ? [] : [entry] };
  }
  service.paces.set(request.latchId, decision.pace);
  return { outcome: granted, entries: [{ kind: "release", at: nowMs, ...released }] };
}

/** What the policy has to know of a machine's site; null where both are as ever. */
function siteOf(
  { sites, system }: Service,
  { group, goneIn, goneFrom, letIn }: ReleaseRow,
  from: string,
): (SiteMember & { readonly site: Site | null; readonly monotonicMs: number }) | null {
  const site = group === null ? null : sites.of(group);
  if (site === null && goneIn === null) return null;
  const isHome = goneFrom !== null && isSamePlace(goneFrom, packAddress(from));
  return { site, goneIn, letIn, isHome, monotonicMs: system.monotonicMs() };
}

/** By the time zone of the server, which is the operator's. */
function minuteOfDay(nowMs: number): number {
  const now = new Date(nowMs);
  return now.getHours() * 60 + now.getMinutes();
}

/** Asks operators, and refuses meanwhile. */
async function begin(
  service: Service,
  transaction: Transaction,
  { latchId, from }: ReleaseRequest,
  machineId: string,
): Promise<Recorded<Judged>> {
  const { request, notice, entries } = await beginRequest(service, transaction, machineId, { from, latch: latchId });
  service.asks.note(request.id, request.createdMs);
  return { outcome: { kind: "begun", notice }, entries };
}

async function latestOf(transaction: Transaction, madeAt: number): Promise<number> {
  return latestSince((await transaction.tree()).times, madeAt);
}

function refuse(service: Service, request: ReleaseRequest, reason: RefusalReason): Recorded<Judged> {
  const entry = service.refusals.count({ reason, subject: request.latchId }, request.from, service.system.nowMs());
  return { outcome: { kind: "refused", reason }, entries: entry === null ? [] : [entry] };
}

function silent(outcome: Judged): Recorded<Judged> {
  return { outcome, entries: [] };
}

/** An exchange key, and what it is wrapped with. */
type ExchangeKey = Pick<KeyRow, "epoch" | "wrapped"> & { readonly cell: number };

/**
 * The exchange key that any of its thumbprints names, the former epoch's too; `signing` where it is
 * one that signs, null where there is none.
 */
async function named(
  transaction: Transaction,
  { latchId, kid }: ReleaseRequest,
): Promise<ExchangeKey | "signing" | null> {
  const keys = await transaction.keys(latchId);
  const key = keys.find(({ publicJwk }) => hasThumbprint(parseStored(publicJwk), kid));
  if (key === undefined) return null;
  if (key.purpose === "signing") return "signing";
  const [former] = await transaction.formers({ latch: latchId });
  const cell = former?.epoch === key.epoch ? former.cell : (await transaction.latch(latchId))?.cell;
  return { ...key, cell: cell ?? 0 };
}

/** Reads a key that the server itself wrote. */
export function parseStored(publicJwk: string): PublicJwk {
  return JSON.parse(publicJwk) as PublicJwk;
}

/** The base64url of exactly 32 bytes, without stray bits at its end. */
const COORDINATE = /^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/;

/**
 * The point's bytes, as far as the form of the JWK goes; null where it is none. This is the hot
 * path: parseEcPublicJwk of formats/jose would compute in BigInt what OpenSSL does.
 */
function pointIn({ crv, x, y }: JsonObject): Buffer | null {
  if (crv !== "P-256" || typeof x !== "string" || typeof y !== "string") return null;
  const point = Buffer.alloc(POINT_BYTES);
  point[0] = 4;
  return putCoordinate(point, 1, x) && putCoordinate(point, 1 + SCALAR_BYTES, y) ? point : null;
}

/**
 * Writes a coordinate; false where it is none. RFC 7518 section 6.2.1.2 wants all 32 bytes. A
 * client that writes a number without its leading zeros, or with more of them, is answered by
 * tangd, and so by us.
 */
function putCoordinate(point: Buffer, at: number, text: string): boolean {
  if (COORDINATE.test(text)) return point.write(text, at, SCALAR_BYTES, "base64url") === SCALAR_BYTES;
  const bytes = Buffer.from(text, "base64url");
  if (bytes.length === 0 || bytes.toString("base64url") !== text) return false;
  const first = Math.max(0, bytes.length - SCALAR_BYTES);
  if (bytes.subarray(0, first).some((byte) => byte !== 0)) return false;
  bytes.copy(point, at + Math.max(0, SCALAR_BYTES - bytes.length), first);
  return true;
}

function missingKey(row: ReleaseRow): never {
  throw new NightlatchError("store/damaged", `a latch of machine ${row.machineId} has lost its key`, {
    remedy: "Run nightlatch audit verify, and restore the store and its master key from the same backup.",
  });
}
