import { identityThumbprint } from "../../../formats/own/enrolment.ts";
import { buildRotationAnswer, type RotationAnswer, type RotationRequest } from "../../../formats/own/rotation.ts";
import type { Entry } from "../../audit/entry.ts";
import { readEntry } from "../../audit/latest.ts";
import type { Transaction } from "../../store/port.ts";
import type { KeyRow } from "../../store/rows.ts";
import { indexLog } from "../log/latest.ts";
import type { Recorded } from "../queue.ts";
import type { Service } from "../service.ts";
import { retire } from "./rotation.ts";

/** Why a machine is told nothing of a latch. */
export type RotationRefusal =
  | "machine/unknown"
  | "machine/locked"
  | "machine/revoked"
  | "latch/unknown"
  | "lease/other-server";

type Outcome = { readonly answer: Buffer } | { readonly refused: RotationRefusal };
type Told = RotationAnswer | { readonly refused: RotationRefusal };

/** How long the machine waits for the log's index; half a minute later it is there. */
const INDEX_MS = 1000;

/**
 * Tells a machine of one of its latches whether the key that it names was the last to be released;
 * and, where the machine says so, destroys the keys of the latch's former epoch. A request that
 * comes again, later, does nothing more: it names the key that the latch had then, and only while
 * that is its key does it end the epoch before it.
 * @throws NightlatchError store/*
 */
export async function takeRotation(
  service: Service,
  received: { readonly request: RotationRequest; readonly body: Uint8Array; readonly from: string },
): Promise<Outcome> {
  const { request, body } = received;
  if (request.server !== identityThumbprint(service.identity)) return { refused: "lease/other-server" };
  if (!request.ends) await indexLog(service, INDEX_MS);
  const told = await service.queue.submit((transaction) => judge(service, transaction, received));
  if ("refused" in told) return told;
  return { answer: buildRotationAnswer(service.identity, body, told) };
}

async function judge(
  service: Service,
  transaction: Transaction,
  { request, from }: { readonly request: RotationRequest; readonly from: string },
): Promise<Recorded<Told>> {
  const machine = await transaction.machine(request.machine);
  if (machine === null) return silent({ refused: "machine/unknown" });
  if (machine.state !== "active") return silent({ refused: `machine/${machine.state}` });
  if (service.halts.includes(machine.id, "")) return silent({ refused: "machine/locked" });
  const latch = await transaction.latch(request.latch);
  if (latch === null || latch.machineId !== machine.id) return silent({ refused: "latch/unknown" });
  const keys = await transaction.keys(latch.id);
  const key = keys.find(({ purpose, kid }) => purpose === "exchange" && kid === request.kid);
  if (key === undefined) return silent({ refused: "latch/unknown" });
  const [former] = await transaction.formers({ latch: latch.id });
  const ends = request.ends && former !== undefined && key.epoch === latch.epoch;
  const entries: Entry[] = ends ? [await retire(service, transaction, machine.id, former, { from })] : [];
  const releasedMs = request.ends ? null : await lastReleaseBy(service, transaction, latch.id, key);
  return { outcome: { hasFormer: former !== undefined && !ends, releasedMs }, entries };
}

/** Null where the last release was by another key, or stands for many. */
async function lastReleaseBy(
  { system }: Pick<Service, "system">,
  transaction: Transaction,
  latchId: string,
  { epoch }: KeyRow,
): Promise<number | null> {
  // What the index has not reached could hide a later release.
  if ((await transaction.latestReach()) < (await transaction.tree()).size) return null;
  const entry = readEntry((await transaction.latest("release", latchId))?.body ?? "{}");
  if (entry["kind"] !== "release" || entry["epoch"] !== epoch) return null;
  const at = entry["at"];
  return typeof at === "number" && at <= system.nowMs() ? system.nowMs() - at : null;
}

function silent(outcome: Told): Recorded<Told> {
  return { outcome, entries: [] };
}
