// @ts-nocheck
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { delayAfterMs } from "../../../src/agent/backoff.ts";
import { pauseOrNetwork } from "../../../src/agent/network.ts";
import { raceSources } from "../../../src/agent/race.ts";
import type { KeySource } from "../../../src/agent/source.ts";
import { type ErrorCode, isError, NightlatchError } from "../../../src/core/errors.ts";
import type { AttemptLimits } from "../../../src/core/limits.ts";
import { Secret } from "../../../src/core/secret.ts";
import { isWorthRetrying } from "../../../src/pins/retry.ts";
import { VirtualTime } from "../../support/virtual-time.ts";

const HOUR_MS = 3_600_000;

type RaceLimits = Parameters<typeof raceSources>[2];

function world(routes: (nowMs: number) => string = () => "lo\n") {
  const time = new VirtualTime();
  const power = { ...time.power, readFile: async () => Buffer.from(routes(time.nowMs)) };
  return { time, power };
}

/** A source whose n-th attempt does what `script` says; the last entry goes on for ever. */
function source(
  name: string,
  script: readonly (ErrorCode | "silent" | Secret)[],
  time: VirtualTime,
  takesMs = 0,
): KeySource & { readonly startsMs: number[]; readonly limits: Required<AttemptLimits>[] } {
  const startsMs: number[] = [];
  const limits: Required<AttemptLimits>[] = [];
  return {
    name,
    startsMs,
    limits,
    isWorthRetrying,
    attempt: async (attemptLimits) => {
      const step = script[Math.min(startsMs.length, script.length - 1)];
      startsMs.push(time.nowMs);
      limits.push(attemptLimits);
      if (takesMs > 0) await time.power.sleep(takesMs);
      if (step instanceof Secret) return step;
      if (step === "silent" || step === undefined) return new Promise(() => {});
      throw new NightlatchError(step, `${name} failed`);
    },
  };
}

const key = (text: string) => Secret.take(Buffer.from(text));
const within = (endMs: number, more: Partial<RaceLimits> = {}): RaceLimits => ({
  endMs,
  signal: new AbortController().signal,
  onFailure: () => {},
  ...more,
});

describe("raceSources", () => {
  test("the first key wins; the others are told to stop, and a key that comes later is wiped", async () => {
    const { time, power } = world();
    const late = key("late");
    const quick = source("quick", [key("quick")], time, 10);
    const slow = source("slow", [late], time, 20);
    const { secret, source: winner } = await time.run(raceSources(power, [slow, quick], within(HOUR_MS)));
    assert.equal(secret.reveal().toString(), "quick");
    assert.equal(winner.name, "quick");
    assert.equal(slow.limits[0]?.signal.aborted, true);
    await time.run(time.power.sleep(50));
    assert.throws(() => late.reveal(), { message: "secret was wiped" });
  });

  test("what passes is tried again with growing pauses until it works", async () => {
    const { time, power } = world();
    const failures: [string, boolean][] = [];
    const server = source("a", ["net/unreachable", "pin/busy", "net/timeout", key("k")], time);
    const { secret } = await time.run(
      raceSources(
        power,
        [server],
        within(HOUR_MS, {
          onFailure: (_, error, again) => failures.push([(error as NightlatchError).code, again]),
        }),
      ),
    );
    assert.equal(secret.reveal().toString(), "k");
    assert.deepEqual(failures, [
      ["net/unreachable", true],
      ["pin/busy", true],
      ["net/timeout", true],
    ]);
    // Half of the pause is sure, the other half chance, which is 0x80808080 / 2³² here: 3/4 of 250,
    // 500, 1000 ms.
    assert.deepEqual(server.startsMs, [0, 188, 563, 1314]);
  });

  test("a refusal ends it at once where no other way remains", async () => {
    const { time, power } = world();
    const server = source("a", ["pin/locked"], time);
    await assert.rejects(
      time.run(raceSources(power, [server], within(HOUR_MS))),
      (error) => isError(error, "pin/locked") && error.message === "a failed",
    );
    assert.equal(time.nowMs, 0);
    assert.equal(server.startsMs.length, 1);
  });

  test("a refusal by one leaves the others in the race", async () => {
    const { time, power } = world();
    const locked = source("locked", ["pin/locked"], time);
    const waking = source("waking", ["net/unreachable", "net/unreachable", key("k")], time);
    const { source: winner } = await time.run(raceSources(power, [locked, waking], within(HOUR_MS)));
    assert.equal(winner.name, "waking");
    assert.equal(locked.startsMs.length, 1);
  });

  test("of several refusals the one to act upon is told", async () => {
    const { time, power } = world();
    const sources = (["pin/unsupported", "pin/wrong-key", "pin/revoked", "pin/locked"] as const).map((code) =>
      source(code, [code], time),
    );
    await assert.rejects(time.run(raceSources(power, sources, within(HOUR_MS))), { code: "pin/revoked" });
  });

  test("it ends at its end, with the last failure told, though a source never settles", async () => {
    const { time, power } = world();
    const sources = [source("deaf", ["silent"], time), source("off", ["net/unreachable"], time)];
    await assert.rejects(
      time.run(raceSources(power, sources, within(7000))),
      (error) =>
        isError(error, "agent/deadline") && error.message === "no key came in time; the last failure: off failed",
    );
    assert.equal(time.nowMs, 7000);
    assert.equal(sources[0]?.limits[0]?.signal.aborted, true);
    assert.ok(
      sources[1]?.limits.every(({ timeoutMs }, index) => timeoutMs === 7000 - (sources[1]?.startsMs[index] ?? 0)),
    );
  });

  test("it ends when nobody waits any more", async () => {
    const { time, power } = world();
    const gone = new AbortController();
    const race = raceSources(power, [source("deaf", ["silent"], time)], within(HOUR_MS, { signal: gone.signal }));
    void time.power.sleep(100).then(() => gone.abort());
    await assert.rejects(time.run(race), { code: "agent/abandoned" });
    assert.equal(time.nowMs, 100);
  });

  test("a network that comes up ends the pause, and the pauses begin anew", async () => {
    const { time, power } = world((nowMs) => (nowMs < 10_000 ? "lo\n" : "eth0 00000000 0102A8C0\n"));
    const server = source("a", [...Array(9).fill("net/unreachable"), key("k")], time);
    await time.run(raceSources(power, [server], within(HOUR_MS)));
    const late = server.startsMs.filter((atMs) => atMs >= 10_000);
    assert.ok(late[0] !== undefined && late[0] < 10_250, `asked at ${late[0]}`);
    assert.equal(late[1], late[0] + 188);
  });

  test("a defect in a source is no reason to try it again", async () => {
    const { time, power } = world();
    const broken: KeySource = {
      name: "broken",
      isWorthRetrying,
      attempt: async () => {
        throw new TypeError("defect");
      },
    };
    await assert.rejects(time.run(raceSources(power, [broken], within(HOUR_MS))), TypeError);
  });
});

test("pauses grow to the longest and never shrink below half of it", () => {
  fc.assert(
    fc.property(fc.nat(2000), fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (attempt, chance) => {
      const delayMs = delayAfterMs(attempt, chance);
      const fullMs = Math.min(5000, 250 * 2 ** attempt);
      assert.ok(delayMs >= Math.floor(fullMs / 2) && delayMs <= fullMs);
    }),
  );
  assert.equal(delayAfterMs(0, 0), 125);
  assert.equal(delayAfterMs(100, 0.5), 3750);
});

test("counters beside a route are no change of the network, a new route is", async () => {
  const { time, power } = world();
  const routes = (gateway: string) => async (path: string) =>
    path === "/proc/net/route"
      ? Buffer.from(`Iface Destination Gateway\neth0 00000000 ${gateway} 0003 ${time.nowMs} 0 100 00000000 0 0 0\n`)
      : Buffer.from(`fe80 40 00 00 00000000 00000100 ${time.nowMs} ${time.nowMs} 00000001 eth0\n`);
  const { signal } = new AbortController();
  assert.equal(await time.run(pauseOrNetwork({ ...power, readFile: routes("0102A8C0") }, 3000, signal)), false);
  assert.equal(time.nowMs, 3000);
  let gateway = "0102A8C0";
  const changing = { ...power, readFile: (path: string) => routes(gateway)(path) };
  void time.power.sleep(900).then(() => {
    gateway = "FE02A8C0";
  });
  assert.equal(await time.run(pauseOrNetwork(changing, 3000, signal)), true);
  assert.equal(time.nowMs, 4000);
});
