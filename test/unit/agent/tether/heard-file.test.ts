import assert from "node:assert/strict";
import { test } from "node:test";
import { keepHeard } from "../../../../src/agent/tether/heard-file.ts";
import { NightlatchError } from "../../../../src/core/errors.ts";
import { readHeard } from "../../../../src/host/heard-servers.ts";
import { writableSystem } from "../../../support/writable-files.ts";

const FILE = "/run/heard/heard.json";
const ALIVE = { isLocked: false, withinSeconds: 0 };
const LOCKED = { isLocked: true, withinSeconds: 0 };

function world(files: Record<string, string | Buffer> = { "/run/heard/.": "" }) {
  const clock = { upMs: 1000 };
  const lines: string[] = [];
  const system = { ...writableSystem(files), upMs: () => clock.upMs };
  const log = (text: string) => lines.push(text);
  return { clock, system, lines, listen: () => keepHeard(system, FILE, log) };
}

test("what servers answer is kept, and a lock from when it was first heard", async () => {
  const { clock, system, listen } = world();
  const hear = await listen();
  await hear?.("http://one", ALIVE);
  clock.upMs = 2000;
  await hear?.("http://two", LOCKED);
  clock.upMs = 3000;
  await hear?.("http://two", LOCKED);
  assert.deepEqual(await readHeard(system, FILE), [
    { url: "http://one", heardMs: 1000, lockedMs: null, leaseMs: null },
    { url: "http://two", heardMs: 3000, lockedMs: 2000, leaseMs: null },
  ]);
  await (await listen())?.("http://two", LOCKED);
  assert.equal((await readHeard(system, FILE))[1]?.lockedMs, 2000, "after a restart of the sender");
  await hear?.("http://two", ALIVE);
  assert.equal((await readHeard(system, FILE))[1]?.lockedMs, null);
});

test("a lease is kept by when it ends, until the server tells of none", async () => {
  const { clock, system, listen } = world();
  const hear = await listen();
  const leaseMs = async () => (await readHeard(system, FILE))[0]?.leaseMs;
  await hear?.("http://one", { ...ALIVE, leaseSeconds: 900 });
  assert.equal(await leaseMs(), 901_000);
  clock.upMs = 2000;
  await hear?.("http://one", { ...ALIVE, leaseSeconds: 899 });
  assert.equal(await leaseMs(), 901_000);
  await hear?.("http://one", { ...ALIVE, leaseSeconds: 0 });
  assert.equal(await leaseMs(), null);
  await hear?.("http://one", ALIVE);
  assert.equal(await leaseMs(), null, "of a server that does not tell");
});

test("nothing is kept where there is no folder for it", async () => {
  assert.equal(await world({}).listen(), null);
});

test("a file that is damaged holds nothing, and one that cannot be written is told once", async () => {
  const { system, lines } = world({ [FILE]: "{" });
  assert.deepEqual(await readHeard(system, FILE), []);
  const full = async () => {
    throw new NightlatchError("file/full", "no room");
  };
  const hear = await keepHeard({ ...system, upMs: () => 1, writeFile: full }, FILE, (text) => lines.push(text));
  await hear?.("http://one", ALIVE);
  await hear?.("http://one", ALIVE);
  assert.deepEqual(lines, ["the tether is not told what servers say: no room [file/full]"]);
});
