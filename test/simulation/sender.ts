/** The real sender of heartbeats of a machine, in the simulated network. */
import type { KeyObject } from "node:crypto";
import { sendHeartbeats } from "../../src/agent/heartbeat.ts";
import { NightlatchError } from "../../src/core/errors.ts";
import type { SessionPower } from "../../src/pins/latch/session.ts";
import type { HttpRequest, HttpResponse } from "../../src/system/port.ts";
import type { Chance } from "./chance.ts";
import type { Host } from "./network.ts";
import type { World } from "./world.ts";

/** Whose heartbeats they are. */
export interface Sending {
  readonly name: string;
  readonly id: string;
  readonly identity: KeyObject;
  readonly serverThumbprint: string;
  readonly host: Host;
}

const MINUTE_MS = 60_000;
/** So often somebody in between keeps a heartbeat for himself. */
const KEPT = 0.02;
/** Within the time that a machine has to be heard in, once it is unlocked. */
const LEAST_PATIENCE_MS = 8 * MINUTE_MS;
/** Who may be silent for long is not asked to speak more often than that, in a day with haste. */
const LONGEST_MS = 8 * 3_600_000;

export class Sender {
  readonly #world: World;
  readonly #chance: Chance;
  #stop: AbortController | null = null;
  /** It is about to be put under `alive`, and so has to be heard. */
  isAwaited = false;
  /** It wants to know what is left of its lease, as a machine with a tether does. */
  readonly #asksLease: boolean;
  /** How many requests in a row came to nothing. */
  #inVain = 0;

  constructor(world: World, chance: Chance) {
    this.#world = world;
    this.#chance = chance;
    this.#asksLease = chance.happens(0.5);
  }

  get isOn(): boolean {
    return this.#stop !== null;
  }

  start(sending: Sending): void {
    if (this.#stop !== null) return;
    const stop = new AbortController();
    this.#stop = stop;
    const { time } = this.#world;
    const { request, ...others } = sessionPower(this.#world, sending, this.#chance);
    const power: Parameters<typeof sendHeartbeats>[0] = {
      ...others,
      request: async (asked) => {
        this.#inVain++;
        const answer = await request(asked);
        if (answer.status === 200 && isHeartbeat(new URL(asked.url).pathname)) this.#inVain = 0;
        return answer;
      },
      // A machine that is locked for days asks every minute, and learns nothing new.
      sleep: (delayMs, signal) => {
        const patienceMs = Math.max(LEAST_PATIENCE_MS, this.#world.patienceMs);
        return time.sleep(Math.max(delayMs, Math.min(delayMs * 1.3 ** this.#inVain, patienceMs)), signal);
      },
      random: (lengthBytes: number) => this.#chance.bytes(lengthBytes),
    };
    const sender = this;
    const options = {
      state: "/",
      // Every 5 minutes is more than can be simulated for years, and says no more.
      get intervalMs() {
        if (sender.isAwaited) return 10 * MINUTE_MS;
        return Math.max(LONGEST_MS, 24 * sender.#world.patienceMs);
      },
      log: () => {},
      asksLease: this.#asksLease,
      listener: null,
    };
    void sendHeartbeats(power, serverOf(sending), options, stop.signal).catch(this.#world.fail);
  }

  stop(): void {
    this.#stop?.abort();
    this.#stop = null;
  }
}

export const isHeartbeat = (path: string): boolean => path === "/alive" || path === "/alive/lease";

export function serverOf({ serverThumbprint, id, name }: Sending) {
  return { url: "http://keys.example", thumbprint: serverThumbprint, machine: id, name };
}

/** What it takes to open sessions, for whoever has the identity. What he sends may be overheard. */
export function sessionPower(world: World, { identity, host }: Sending, chance: Chance): SessionPower {
  return {
    readFileIfPresent: async () => identity.export({ format: "der", type: "pkcs8" }),
    request: async (request) => {
      const { method, path, body } = plain(request);
      if (isHeartbeat(path)) world.oracle.door.written(body);
      else if (method === "POST") world.oracle.door.signed(body);
      if (method === "POST") world.overhear({ path, body, from: host });
      if (isHeartbeat(path) && chance.happens(KEPT)) {
        world.keep({ path, body });
        await world.time.sleep(10_000);
        throw new NightlatchError("net/timeout", "no answer");
      }
      const answer = await world.ask(host, { method, path, body });
      if (answer === null) throw new NightlatchError("net/timeout", "no answer");
      return { ...answer, contentType: "" } satisfies HttpResponse;
    },
  };
}

function plain({ method, url, body }: HttpRequest) {
  const bytes = typeof body === "function" ? body() : (body ?? new Uint8Array(0));
  return { method, path: new URL(url).pathname, body: Buffer.from(bytes) };
}
