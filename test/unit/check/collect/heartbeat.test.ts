import assert from "node:assert/strict";
import { test } from "node:test";
import { lookAtHeartbeats } from "../../../../src/check/collect/heartbeat.ts";
import { HEARD_FILE } from "../../../../src/core/places.ts";
import { parseAgentConfig } from "../../../../src/formats/own/agent-config-file.ts";
import { buildHeardServers } from "../../../../src/formats/own/tether.ts";
import { fakeSystem } from "../../../support/fake-files.ts";

const UNIT = "nightlatch-heartbeat.service";
const ONE = { url: "http://one:7654", thumbprint: "1", machine: "m", name: "nas" };
const TWO = { ...ONE, url: "http://two:7654" };
const ENABLED = ["enabled", "active"] as const;
const UP_MS = 1_000_000;

/** A machine whose sender may be heard only after a while. */
async function look(
  toml: string,
  [file, active]: readonly [string, string],
  heard: Readonly<Record<string, number>>,
  more: { servers?: readonly (typeof ONE)[]; heardAfterMs?: number } = {},
) {
  let upMs = UP_MS;
  const rows = Object.entries(heard).map(([url, heardMs]) => ({ url, heardMs, lockedMs: null, leaseMs: null }));
  const fake = fakeSystem({}, () => ({ stdout: `Id=${UNIT}\nUnitFileState=${file}\nActiveState=${active}\n` }));
  const system = {
    ...fake,
    upMs: () => upMs,
    sleep: async (delayMs: number) => {
      upMs += delayMs;
    },
    readFileIfPresent: async (path: string) =>
      path === HEARD_FILE && upMs >= UP_MS + (more.heardAfterMs ?? 0) ? buildHeardServers(rows) : null,
  };
  const config = parseAgentConfig(Buffer.from(toml), "agent.toml");
  const facts = await lookAtHeartbeats(system, config, more.servers ?? [ONE], new AbortController().signal);
  return { facts, waitedMs: upMs - UP_MS };
}

test("nobody counts on heartbeats but by [heartbeat], or by their unit", async () => {
  assert.equal((await look("", ["disabled", "inactive"], {})).facts, null);
  assert.equal((await look("[heartbeat]", ["disabled", "inactive"], {})).facts?.runs, false);
  assert.equal((await look("", ["enabled", "failed"], {})).facts?.runs, false);
  assert.equal((await look("", ["disabled", "active"], {})).facts, null);
  assert.equal((await look("[heartbeat]", ENABLED, {}, { servers: [] })).facts, null);
});

test("a server is silent that has not answered for two intervals and a moment, or never", async () => {
  const answered = async (agoMs: number) => (await look("", ENABLED, { [ONE.url]: UP_MS - agoMs })).facts?.silent;
  assert.deepEqual(await answered(144_000), []);
  assert.deepEqual(await answered(150_000), [{ url: ONE.url, name: "nas", silentMs: 155_000 }]);
  const never = await look("", ENABLED, { [ONE.url]: UP_MS }, { servers: [ONE, TWO] });
  assert.deepEqual(never.facts?.silent, [{ url: TWO.url, name: "nas", silentMs: null }]);
  assert.equal(never.waitedMs, 5000);
});

test("a sender that was started just now is waited for, and no longer than it takes", async () => {
  const { facts, waitedMs } = await look("", ENABLED, { [ONE.url]: UP_MS }, { heardAfterMs: 900 });
  assert.deepEqual([facts?.silent, waitedMs], [[], 1000]);
});

test("only those that [heartbeat] names are to hear it, and one that is not known is told", async () => {
  const named = `[heartbeat]\nservers = ["${ONE.url}"]`;
  const { facts } = await look(named, ENABLED, { [ONE.url]: UP_MS }, { servers: [ONE, TWO] });
  assert.deepEqual([facts?.silent, facts?.strangers], [[], []]);
  const wrong = await look(named, ENABLED, {}, { servers: [TWO] });
  assert.deepEqual([wrong.facts?.silent, wrong.facts?.strangers], [[], [ONE.url]]);
});
