/** A machine as it should be: it enrols, runs, announces its reboots, and asks for its keys. */
import { createECDH, generateKeyPairSync, type KeyObject } from "node:crypto";
import { type EcPublicJwk, thumbprintOf } from "../../src/formats/jose/jwk.ts";
import {
  buildEnrolRequest,
  buildLatchRequest,
  identityThumbprint,
  parseEnrolAnswer,
} from "../../src/formats/own/enrolment.ts";
import { parseInvite } from "../../src/formats/own/invite.ts";
import { buildLeaseRequest, parseChallenge, parseLeaseAnswer } from "../../src/formats/own/lease.ts";
import type { Chance } from "./chance.ts";
import type { Answer, Host } from "./network.ts";
import { Sender } from "./sender.ts";
import type { SimulatedSite } from "./site.ts";
import { Violation } from "./violation.ts";
import type { World } from "./world.ts";

/** What a machine knows of a latch, and whoever has copied its disk does too. */
export interface KnownLatch {
  readonly latchId: string;
  readonly kid: string;
  readonly exchange: EcPublicJwk;
}

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;
/** So often may somebody who should have its key ask in vain, whatever is lost on the way. */
const PATIENCE = 20;

/** A point that a stock client has blinded, and what undoes it. */
const CLIENT = createECDH("prime256v1");
CLIENT.setPrivateKey(Buffer.alloc(32, 7));
const POINT = CLIENT.getPublicKey();

/** The body of a recovery request, as clevis sends it. */
export const RECOVERY = Buffer.from(
  JSON.stringify({
    alg: "ECMR",
    crv: "P-256",
    key_ops: ["deriveKey"],
    kty: "EC",
    x: POINT.toString("base64url", 1, 33),
    y: POINT.toString("base64url", 33, 65),
  }),
);

export class SimulatedMachine {
  readonly #world: World;
  readonly #chance: Chance;
  readonly name: string;
  readonly host: Host;
  readonly sender: Sender;
  /** Where it stands with others; null where it stands alone. */
  readonly site: SimulatedSite | null;
  identity!: KeyObject;
  id = "";
  serverThumbprint = "";
  latches: KnownLatch[] = [];
  /** Its volumes wait for their keys. */
  isWaiting = false;
  isRevoked = false;
  /** Its system is up. */
  isUp = false;
  /** The boot does not wait for its second volume. */
  #opensLate = false;
  /** Its power was cut, for so long; and what wakes it then. */
  #outMs: number | null = null;
  #wasSending = false;
  #wake = new AbortController();
  /** Volumes that are still to be opened. */
  #opening: Promise<unknown> = Promise.resolve();

  constructor(world: World, chance: Chance, name: string, host: Host, site: SimulatedSite | null) {
    this.#world = world;
    this.#chance = chance;
    this.name = name;
    this.host = host;
    this.site = site;
    this.sender = new Sender(world, chance.named("sender"));
  }

  /** Lives until the simulation ends. */
  async live(): Promise<void> {
    const { time } = this.#world;
    for (;;) {
      await this.#enrol();
      while (!this.isRevoked) {
        this.#outMs = null;
        this.#wake = new AbortController();
        await time.sleep(this.#world.waitMs(this.#chance, 9 * DAY_MS), this.#wake.signal);
        if (this.isRevoked) break;
        const isPlanned = !this.#isOut() && this.#chance.happens(0.7);
        // It would not come back by itself.
        if (isPlanned && !(await this.#announce(1800)) && !this.#isOut()) continue;
        this.isUp = false;
        const isSending = this.sender.isOn || this.#wasSending;
        this.#wasSending = false;
        this.sender.stop();
        await time.sleep(this.#outMs ?? this.#awayMs(isPlanned));
        await this.#opening;
        await this.#boot();
        if (this.isRevoked) break;
        this.isUp = true;
        if (isSending) this.sender.start(this);
      }
      this.isUp = false;
      this.sender.stop();
      await time.sleep(this.#world.waitMs(this.#chance, DAY_MS));
    }
  }

  #isOut(): boolean {
    return this.#outMs !== null;
  }

  /** Its power fails, if it is up, and is back after a while. */
  cutPower(outMs: number): void {
    if (!this.isUp || this.#isOut()) return;
    this.#outMs = outMs;
    this.isUp = false;
    this.#wasSending = this.sender.isOn;
    this.sender.stop();
    this.#wake.abort();
  }

  /** Whoever runs it has heard that what it was is revoked. */
  giveUp(id: string): void {
    if (this.id !== id || !this.isUp || this.#isOut()) return;
    this.isRevoked = true;
    this.#wake.abort();
  }

  /** A reboot; or it was unplugged, and maybe carried away. */
  #awayMs(isPlanned: boolean): number {
    if (isPlanned || this.#chance.happens(0.5)) return this.#chance.between(20_000, 120_000);
    const { timeoutMs = 0 } = this.#world.oracle.ledger.machines.get(this.id) ?? {};
    const longMs = this.#chance.pick([HOUR_MS, 20 * HOUR_MS, Math.max(HOUR_MS, 3 * timeoutMs)]);
    const awayMs = this.#chance.between(MINUTE_MS, longMs);
    this.#world.goneFor(this, awayMs);
    return awayMs;
  }

  /** The operator's invite, and as many latches as it has volumes. */
  async #enrol(): Promise<void> {
    this.identity = generateKeyPairSync("ed25519").privateKey;
    this.id = identityThumbprint(this.identity);
    this.latches = [];
    this.isRevoked = false;
    const invite = () => this.#world.operator.invite(this.name, this.site?.invitedInto() ?? null);
    let [invited, nonce] = [await invite(), this.#chance.bytes(16)];
    for (let attempt = 0; this.latches.length === 0; attempt++) {
      if (attempt > 0) await this.#world.time.sleep(5000);
      const { id, key, thumbprint } = parseInvite(invited);
      this.serverThumbprint = thumbprint;
      const body = buildEnrolRequest(this.identity, { id, key }, { nonce, volume: "root" });
      const answer = await this.#world.ask(this.host, { method: "POST", path: "/enroll", body });
      this.#learn(body, answer);
      if (answer !== null && answer.status !== 200 && answer.status !== 503) {
        [invited, nonce] = [await invite(), this.#chance.bytes(16)];
      }
    }
    const second = this.#chance.bytes(16);
    const isSingle = this.#chance.happens(0.5);
    for (let attempt = 0; attempt < 20 && !isSingle && this.latches.length === 1; attempt++) {
      const body = buildLatchRequest(this.identity, { nonce: second, volume: "data" });
      const path = `/machine/${this.id}/latch`;
      this.#learn(body, await this.#world.ask(this.host, { method: "POST", path, body }));
      await this.#world.time.sleep(5000);
    }
    this.#opensLate = this.latches.length > 1 && this.#chance.happens(0.5);
    this.isUp = true;
    await this.site?.receive(this);
    await this.#world.operator.govern(this);
  }

  #learn(request: Buffer, answer: Answer | null): void {
    if (answer?.status !== 200) return;
    const { serverThumbprint } = this;
    const { latch, advertisement } = parseEnrolAnswer(answer.body, { request, machine: this.id, serverThumbprint });
    const exchange = advertisement.exchangeKeys[0] as EcPublicJwk;
    if (this.latches.some(({ latchId }) => latchId === latch)) return;
    this.latches.push({ latchId: latch, kid: thumbprintOf(exchange), exchange });
  }

  /** Opens a window for the next boot. True where the server says that it will open then. */
  async #announce(seconds: number): Promise<boolean> {
    for (let attempt = 0; attempt < 8; attempt++) {
      if (attempt > 0) await this.#world.time.sleep(2000);
      const body = await signLease(this.#world, this, this.host, { seconds, graceSeconds: 60 });
      if (body === null) continue;
      this.#world.captured.push({ machine: this, body });
      const answer = await this.#world.ask(this.host, { method: "POST", path: `/machine/${this.id}/lease`, body });
      if (answer?.status === 403) return false;
      if (answer?.status !== 200) continue;
      const told = parseLeaseAnswer(answer.body, { request: body, serverThumbprint: this.serverThumbprint });
      return !told.isNeeded || told.seconds > 60;
    }
    return false;
  }

  async #boot(): Promise<void> {
    this.isWaiting = true;
    const opened = this.latches.map((latch, index) => this.#openIn(index > 0 && this.#opensLate, latch));
    const all = Promise.all(opened).then(() => {
      this.isWaiting = false;
    });
    this.#opening = all.catch(this.#world.fail);
    await (this.#opensLate ? opened[0] : all);
  }

  async #openIn(isLate: boolean, latch: KnownLatch): Promise<void> {
    if (isLate) await this.#world.time.sleep(this.#chance.between(1000, 10 * MINUTE_MS));
    await this.#open(latch);
  }

  /** Asks until the key is there, or it never will be. */
  async #open(latch: KnownLatch): Promise<void> {
    let inVain = 0;
    for (let attempt = 0; ; attempt++) {
      const mayBefore = this.#world.mayBeReleased(this, latch);
      const answer = await askForKey(this.#world, this.host, latch);
      if (answer?.status === 200) {
        requireKey(latch, answer.body);
        return;
      }
      if (answer?.status === 410) {
        this.isRevoked = true;
        return;
      }
      inVain = mayBefore && this.#world.mayBeReleased(this, latch) ? inVain + 1 : 0;
      if (inVain > PATIENCE)
        throw new Violation("liveness", `${this.name} asks in vain: ${answer?.status ?? "no answer"}`);
      await this.#world.time.sleep(
        Math.min(attempt < 40 ? 5 * MINUTE_MS : this.#world.patienceMs, 5000 * 1.15 ** attempt),
      );
    }
  }
}

/** Asks for a latch's key, as curl does for clevis. */
export function askForKey(world: World, host: Host, latch: KnownLatch): Promise<Answer | null> {
  return world.ask(host, { method: "POST", path: `/latch/${latch.latchId}/rec/${latch.kid}`, body: RECOVERY });
}

/** Signs for a window, over a challenge that it asks for now. Null where it gets none. */
export async function signLease(
  world: World,
  machine: SimulatedMachine,
  host: Host,
  wanted: { readonly seconds: number; readonly graceSeconds: number },
): Promise<Buffer | null> {
  const path = `/machine/${machine.id}/lease`;
  const given = await world.ask(host, { method: "GET", path, body: Buffer.alloc(0) });
  if (given?.status !== 200) return null;
  const challenge = parseChallenge(given.body);
  const body = buildLeaseRequest(machine.identity, { challenge, server: machine.serverThumbprint, ...wanted });
  world.oracle.signed(machine.id, body);
  return body;
}

/** What the server gave must be this latch's key and no other. */
function requireKey({ exchange }: KnownLatch, body: Buffer): void {
  const { x } = JSON.parse(String(body)) as { x: string };
  const point = Buffer.concat([
    Buffer.from([4]),
    Buffer.from(exchange.x, "base64url"),
    Buffer.from(exchange.y, "base64url"),
  ]);
  if (CLIENT.computeSecret(point).toString("base64url") !== x)
    throw new Violation("liveness", "what was released is not the latch's key");
}
