/** A server's parts in this process, without sockets, and a machine that speaks to them. */
import { createECDH, generateKeyPairSync, type KeyObject, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { thumbprintOf } from "../../../src/formats/jose/jwk.ts";
import {
  buildEnrolRequest,
  buildLatchRequest,
  identityThumbprint,
  parseEnrolAnswer,
  parseEnrolRequest,
  parseLatchRequest,
} from "../../../src/formats/own/enrolment.ts";
import { parseInvite } from "../../../src/formats/own/invite.ts";
import {
  buildLeaseRequest,
  type LeaseAnswer,
  parseLeaseAnswer,
  parseLeaseRequest,
} from "../../../src/formats/own/lease.ts";
import { parseRecoveryRequest } from "../../../src/formats/tang/tang.ts";
import type { BatchExchange } from "../../../src/server/exchange/batch.ts";
import { resumePulses } from "../../../src/server/service/alive/alive.ts";
import { resumeSites } from "../../../src/server/service/alive/site-holds.ts";
import { assembleService } from "../../../src/server/service/assemble.ts";
import { resumeDays } from "../../../src/server/service/days.ts";
import { addLatch, type EnrolOutcome, enrol } from "../../../src/server/service/latches/enrol.ts";
import { invite } from "../../../src/server/service/latches/invite.ts";
import { type ReleaseOutcome, release } from "../../../src/server/service/latches/release.ts";
import { challenge, takeAnnouncement } from "../../../src/server/service/leases.ts";
import type { Service } from "../../../src/server/service/service.ts";
import { openFolder } from "../../../src/server/store/folder/folder.ts";
import { nodeSystem } from "../../../src/system/node.ts";

/** The user that the tests run as. */
export const UID = process.geteuid?.() ?? 0;

/** A folder of a test's own, removed when it is disposed of. */
export interface Home extends Disposable {
  readonly path: string;
  /** A data folder in it that does not exist yet. */
  readonly folder: string;
}

/** Makes a folder of a test's own. */
export function makeHome(): Home {
  const path = mkdtempSync(join(tmpdir(), "nightlatch-server-"));
  return { path, folder: join(path, "data"), [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

/** A clock that a test can move. */
export interface Clock {
  nowMs: number;
  /** Of the clock that nobody sets. */
  monotonicMs: number;
}

/** A service in this process, closed when it is disposed of. */
export interface OpenService extends Service, AsyncDisposable {
  readonly clock: Clock;
  readonly created: boolean;
  readonly warnings: readonly string[];
}

/** Opens a data folder, and makes a service of it with a clock of its own. */
export async function openService(
  folder: string,
  options: {
    readonly acceptRollback?: boolean;
    /** What the clock says. */
    readonly nowMs?: number;
    readonly exchange?: BatchExchange;
  } = {},
): Promise<OpenService> {
  const opened = await openFolder(nodeSystem, folder, { uid: UID, ...options });
  const { store, created, warnings } = opened;
  const clock: Clock = { nowMs: Date.now(), monotonicMs: 1000 };
  const service = assembleService(
    {
      nowMs: () => clock.nowMs,
      monotonicMs: () => clock.monotonicMs,
      sleep: nodeSystem.sleep,
      random: nodeSystem.random,
    },
    opened,
    options.exchange,
  );
  clock.nowMs = options.nowMs ?? clock.nowMs;
  await resumeSites(service);
  await resumePulses(service);
  await resumeDays(service);
  return {
    ...service,
    clock,
    created,
    warnings,
    [Symbol.asyncDispose]: async () => {
      await service.exchange[Symbol.asyncDispose]();
      await store.close();
    },
  };
}

/** A machine: its identity, and its id. */
export interface TestMachine {
  readonly identity: KeyObject;
  readonly id: string;
}

/** Makes a machine that no server knows. */
export function newMachine(): TestMachine {
  const identity = generateKeyPairSync("ed25519").privateKey;
  return { identity, id: identityThumbprint(identity) };
}

/** Makes an invite, and gives its line. */
export async function makeInvite(
  service: Service,
  name: string,
  lifetimeMs = 3_600_000,
  more: { readonly group?: string; readonly mayLoosen?: boolean } = {},
): Promise<string> {
  return (await invite(service, { name, lifetimeMs, url: "http://127.0.0.1:7654", by: 0, ...more })).line;
}

/** What a machine got: where to ask, and for which key. */
export interface TestLatch {
  readonly latchId: string;
  readonly kid: string;
  readonly name: string;
}

/** The refusal's code, or the latch from the verified answer. */
export async function enrolWith(
  service: Service,
  machine: TestMachine,
  line: string,
  nonce: Uint8Array = randomBytes(16),
): Promise<TestLatch | string> {
  const { id, key } = parseInvite(line);
  const body = buildEnrolRequest(machine.identity, { id, key }, { nonce, volume: "volume-1" });
  return readAnswer(
    service,
    machine,
    body,
    await enrol(service, { request: parseEnrolRequest(body), body, from: "192.0.2.1" }),
  );
}

/** Asks for one more latch for a machine that is known. Gives the code where it is refused. */
export async function addLatchTo(
  service: Service,
  machine: TestMachine,
  nonce: Uint8Array = randomBytes(16),
): Promise<TestLatch | string> {
  const body = buildLatchRequest(machine.identity, { nonce, volume: "volume-2" });
  return readAnswer(
    service,
    machine,
    body,
    await addLatch(service, { request: parseLatchRequest(body), body, from: "192.0.2.1" }),
  );
}

function readAnswer(
  service: Service,
  machine: TestMachine,
  request: Buffer,
  outcome: EnrolOutcome,
): TestLatch | string {
  if ("refused" in outcome) return outcome.refused;
  const serverThumbprint = identityThumbprint(service.identity);
  const { latch, name, advertisement } = parseEnrolAnswer(outcome.answer, {
    request,
    machine: machine.id,
    serverThumbprint,
  });
  return { latchId: latch, kid: thumbprintOf(advertisement.exchangeKeys[0]), name };
}

/** A machine with one latch. */
export async function enrolled(service: Service, name: string): Promise<{ machine: TestMachine; latch: TestLatch }> {
  const machine = newMachine();
  const latch = await enrolWith(service, machine, await makeInvite(service, name));
  if (typeof latch === "string") throw new Error(latch);
  return { machine, latch };
}

/** What a machine asks for: a window for its next boot, or, with 0 seconds, its end. */
interface Announced {
  readonly seconds: number;
  readonly graceSeconds?: number;
}

/** Writes a machine's request for a lease, over a challenge that it asks for now. */
export async function leaseRequest(service: Service, machine: TestMachine, wanted: Announced): Promise<Buffer> {
  const { seconds, graceSeconds = 60 } = wanted;
  const server = identityThumbprint(service.identity);
  return buildLeaseRequest(machine.identity, {
    challenge: await challenge(service, machine.id),
    server,
    seconds,
    graceSeconds,
  });
}

/** Sends a machine's request. Gives the verified answer, or the code where it is refused. */
export async function sendLease(service: Service, body: Buffer): Promise<LeaseAnswer | string> {
  const outcome = await takeAnnouncement(service, { request: parseLeaseRequest(body), body, from: "192.0.2.1" });
  if ("refused" in outcome) return outcome.refused;
  return parseLeaseAnswer(outcome.answer, { request: body, serverThumbprint: identityThumbprint(service.identity) });
}

/** Has a machine announce a lease. */
export async function announce(
  service: Service,
  machine: TestMachine,
  wanted: Announced,
): Promise<LeaseAnswer | string> {
  return sendLease(service, await leaseRequest(service, machine, wanted));
}

/** The body of a recovery request with a point that is drawn now. */
export function recoveryBody(): Buffer {
  const point = createECDH("prime256v1").generateKeys();
  const [x, y] = [point.toString("base64url", 1, 33), point.toString("base64url", 33)];
  return Buffer.from(JSON.stringify({ alg: "ECMR", crv: "P-256", key_ops: ["deriveKey"], kty: "EC", x, y }));
}

const BODY = recoveryBody();

/** Asks for a latch to be released, as `POST /rec` does. */
export function ask(
  service: Service,
  latch: TestLatch,
  body: Buffer = BODY,
  from = "192.0.2.7",
): Promise<ReleaseOutcome> {
  const { latchId, kid } = latch;
  return release(service, { latchId, kid, body: parseRecoveryRequest(body), from });
}
