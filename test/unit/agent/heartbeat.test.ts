/** The sender against a server that is played: its pauses, and what it makes of each answer. */
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import { sendHeartbeats } from "../../../src/agent/heartbeat.ts";
import { NightlatchError } from "../../../src/core/errors.ts";
import { identityThumbprint } from "../../../src/formats/own/enrolment.ts";
import { buildHeard, type Heard, isHeartbeatOf, readHeartbeat } from "../../../src/formats/own/heartbeat.ts";
import { buildChallenge } from "../../../src/formats/own/lease.ts";
import {
  buildSessionAnswer,
  makeSessionHalf,
  parseSessionRequest,
  sessionKey,
} from "../../../src/formats/own/session.ts";
import { bodyOf } from "../../../src/system/http.ts";
import type { HttpRequest, HttpResponse } from "../../../src/system/port.ts";
import { VirtualTime } from "../../support/virtual-time.ts";

const identity = generateKeyPairSync("ed25519").privateKey;
const serverIdentity = generateKeyPairSync("ed25519").privateKey;
const SERVER = {
  url: "http://keys:7654",
  thumbprint: identityThumbprint(serverIdentity),
  machine: identityThumbprint(identity),
  name: "nas",
};

/** What the server does at one attempt: an answer to a heartbeat, or a failure. */
type Moment = "hears" | "locked" | "leased" | "knows-no-leases" | "forgot" | "forged" | "down" | "full" | "refuses";

class PlayedServer {
  readonly #moments: readonly Moment[];
  readonly #stop: AbortController;
  readonly time = new VirtualTime();
  #at = 0;
  #key: Buffer = Buffer.alloc(32);
  sessions = 0;
  /** Where each heartbeat was sent. */
  readonly paths: string[] = [];
  /** When each attempt was made, in seconds, and the counter where it was a heartbeat. */
  readonly attempts: (readonly [seconds: number, counter: number | null])[] = [];

  constructor(moments: readonly Moment[], stop: AbortController) {
    this.#moments = moments;
    this.#stop = stop;
  }

  request = async (request: HttpRequest): Promise<HttpResponse> => {
    const body = Buffer.from(bodyOf(request) ?? []);
    const moment = this.#moments[this.#at] ?? "hears";
    const isBeat = /\/alive(?:\/lease)?$/.test(request.url);
    if (isBeat) this.paths.push(new URL(request.url).pathname);
    if (moment === "knows-no-leases" && request.url.endsWith("/lease"))
      return { status: 404, contentType: "", body: Buffer.alloc(0) };
    if (moment === "down" || moment === "refuses" || isBeat) this.#note(isBeat ? body : null);
    if (moment === "down") throw new NightlatchError("net/unreachable", "keys:7654 cannot be reached");
    if (moment === "refuses") return refusal(403, "machine/locked");
    if (!isBeat) return answer(request.method === "GET" ? buildChallenge("A".repeat(64)) : this.#open(body));
    assert.ok(isHeartbeatOf(this.#key, body));
    if (moment === "forgot") return refusal(404, "session/unknown");
    if (moment === "full") return { status: 503, contentType: "", body: Buffer.alloc(0) };
    const heard = buildHeard(this.#key, body, {
      isLocked: moment === "locked",
      withinSeconds: 40,
      ...this.#told(moment),
    });
    if (moment === "forged") heard.writeUInt8(0);
    return answer(moment === "forged" ? heard.fill(7, 5) : heard);
  };

  /** What it tells of a lease, to who asks. */
  #told(moment: Moment): { leaseSeconds?: number } {
    if (this.paths.at(-1) !== "/alive/lease") return {};
    return { leaseSeconds: moment === "leased" ? 900 : 0 };
  }

  #note(body: Buffer | null): void {
    const counter = body === null ? null : (readHeartbeat(body)?.counter ?? null);
    this.attempts.push([this.time.nowMs / 1000, counter]);
    this.#at++;
    if (this.#at >= this.#moments.length) this.#stop.abort();
  }

  #open(body: Buffer): Buffer {
    const { key: peer, machine } = parseSessionRequest(body);
    const half = makeSessionHalf();
    const session = Buffer.alloc(8, ++this.sessions);
    const opened = buildSessionAnswer(serverIdentity, body, { session, key: half.key });
    this.#key = sessionKey(half, { peer, request: body, answer: opened, machine, server: SERVER.thumbprint });
    return opened;
  }
}

const answer = (body: string | Buffer): HttpResponse => ({ status: 200, contentType: "", body: Buffer.from(body) });
const refusal = (status: number, error: string): HttpResponse => ({
  status,
  contentType: "application/json",
  body: Buffer.from(JSON.stringify({ error })),
});

const play = (...moments: readonly Moment[]) => playAsking(false, ...moments);

async function playAsking(asksLease: boolean, ...moments: readonly Moment[]) {
  const stop = new AbortController();
  const server = new PlayedServer(moments, stop);
  const lines: string[] = [];
  const system = {
    ...server.time.power,
    request: server.request,
    readFileIfPresent: async () => identity.export({ format: "der", type: "pkcs8" }),
  };
  const told: Heard[] = [];
  const sending = {
    state: "/state",
    intervalMs: 60_000,
    log: (text: string) => lines.push(text),
    asksLease,
    listener: async (_: string, heard: Heard) => void told.push(heard),
  };
  await server.time.run(sendHeartbeats(system, SERVER, sending, stop.signal));
  return { attempts: server.attempts, sessions: server.sessions, lines, paths: server.paths, told };
}

test("who has a tether asks for its lease, and one of an older server as ever", async () => {
  const asked = await playAsking(true, "leased", "hears");
  assert.deepEqual(asked.paths, ["/alive/lease", "/alive/lease"]);
  assert.deepEqual(
    asked.told.map(({ leaseSeconds }) => leaseSeconds),
    [900, 0],
  );
  const older = await playAsking(true, "knows-no-leases", "hears");
  assert.deepEqual(older.paths, ["/alive/lease", "/alive", "/alive"]);
  assert.deepEqual([older.sessions, older.told.length], [1, 2]);
  assert.deepEqual(older.told[0], { isLocked: false, withinSeconds: 40 });
  const forgotten = await playAsking(true, "forgot", "hears");
  assert.deepEqual(forgotten.paths, ["/alive/lease", "/alive/lease"], "a session that is unknown is no older server");
  assert.deepEqual((await play("leased")).paths, ["/alive"]);
});

test("one session, a counter that grows, and the pause that the server wants", async () => {
  const { attempts, sessions, lines } = await play("hears", "hears", "hears");
  // Half of the tenth that chance may take: 38 of 40 seconds.
  assert.deepEqual(
    attempts.map(([seconds, counter]) => [Math.round(seconds), counter]),
    [
      [0, 1],
      [38, 2],
      [76, 3],
    ],
  );
  assert.equal(sessions, 1);
  assert.deepEqual(lines, ["keys:7654 hears this machine, as nas"]);
});

test("a server that has forgotten the session, or whose answer is not its own, gets another", async () => {
  for (const moment of ["forgot", "forged"] as const) {
    const { attempts, sessions } = await play("hears", moment, "hears", "hears");
    assert.deepEqual(
      attempts.map(([, counter]) => counter),
      [1, 2, 1, 2],
    );
    assert.equal(sessions, 2, moment);
  }
});

test("a server that is down or full is asked again with growing pauses, in the same session", async () => {
  const { attempts, sessions, lines } = await play("hears", "down", "full", "down", "down", "down", "down", "hears");
  const at = attempts.map(([seconds]) => seconds);
  const pauses = at.slice(2).map((seconds, index) => seconds - Number(at[index + 1]));
  assert.deepEqual(
    pauses.map((pause) => Math.round(pause * 2) / 2),
    [1, 1.5, 3, 6, 12, 24],
  );
  assert.equal(sessions, 1);
  assert.equal(attempts.at(-1)?.[1], 8, "a counter is not used twice");
  assert.equal(lines.filter((line) => line.includes("net/unreachable")).length, 2, "told once in a row");
});

test("the pauses grow no longer than the server wants a heartbeat in", async () => {
  const { attempts } = await play("hears", ...Array.from({ length: 12 }, () => "down" as const));
  const at = attempts.map(([seconds]) => seconds);
  assert.equal(Math.round(Number(at.at(-1)) - Number(at.at(-2))), 30);
});

test("a lock is told, from the session and from its refusal, and it goes on asking", async () => {
  const told = await play("hears", "locked", "locked", "hears", "hears");
  assert.equal(told.lines.filter((line) => line.includes("nightlatch machine unlock nas")).length, 1);
  assert.equal(told.lines.at(-1), "keys:7654 hears this machine, as nas");
  const { lines, sessions } = await play("refuses", "refuses", "hears", "hears");
  assert.match(lines[0] ?? "", /machine\/locked/);
  assert.deepEqual([lines.length, sessions], [2, 1]);
});
