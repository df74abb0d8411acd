/** Stock clevis against a latch whose machine is released within a lease alone. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { parseInvite } from "../../../src/formats/own/invite.ts";
import { enrolMachine } from "../../../src/pins/latch/enrol.ts";
import { announceLease } from "../../../src/pins/latch/lease.ts";
import { listServers } from "../../../src/pins/latch/machine.ts";
import { nodeSystem } from "../../../src/system/node.ts";
import { nightlatch, type Served, serve } from "../../support/serve.ts";

const skip = spawnSync("clevis", ["--help"]).error === undefined ? false : "clevis is not installed";
const LIMITS = { timeoutMs: 30_000 };

function clevis(args: readonly string[], input: string) {
  return spawnSync("clevis", [...args], { input, encoding: "utf8", timeout: 60_000 });
}

/** A machine with a latch that stock clevis has sealed a secret to. */
async function sealed(server: Served, ...invited: readonly string[]) {
  const state = mkdtempSync(join(tmpdir(), "nightlatch-lease-"));
  const { invite } = await server.json("machine", "invite", "nas", ...invited);
  const { latchUrl } = await enrolMachine(nodeSystem, state, parseInvite(String(invite)), "7d5b2c1e", LIMITS);
  const { stdout, status, stderr } = clevis(["encrypt", "tang", JSON.stringify({ url: latchUrl }), "-y"], "a secret");
  assert.equal(status, 0, stderr);
  return {
    state,
    open: () => clevis(["decrypt"], stdout).stdout,
    announce: async (seconds: number, graceSeconds: number) => {
      const [known] = await listServers(nodeSystem, state);
      assert.ok(known !== undefined);
      return announceLease(nodeSystem, state, known, { seconds, graceSeconds }, LIMITS);
    },
    [Symbol.dispose]: () => rmSync(state, { recursive: true }),
  };
}

test("a copied disk gets nothing, an announced boot opens once, and a second one does not", { skip }, async () => {
  await using server = await serve();
  using machine = await sealed(server);
  assert.equal(machine.open(), "a secret");
  assert.deepEqual(await machine.announce(900, 0), { isNeeded: false, seconds: 0 });
  await server.json("machine", "policy", "nas", "lease");
  assert.equal(machine.open(), "");

  const told = await machine.announce(900, 0);
  assert.ok(told?.isNeeded && told.seconds > 890 && told.seconds <= 900, JSON.stringify(told));
  assert.equal(machine.open(), "a secret");
  assert.equal(machine.open(), "");

  await machine.announce(900, 60);
  assert.equal(machine.open(), "a secret");
  assert.equal(machine.open(), "a secret", "the first answer may have been lost");
  await machine.announce(0, 0);
  assert.equal(machine.open(), "");
});

test("who is invited into a group has nothing from its first moment but what is said there", { skip }, async () => {
  await using server = await serve();
  await server.json("group", "add", "home");
  await server.json("group", "policy", "home", "lease");
  const refused = await nightlatch("machine", "invite", "nas", "--group", "away", "--admin", server.admin, "--json");
  assert.equal((JSON.parse(refused.stdout) as { error: { code: string } }).error.code, "group/unknown");
  using machine = await sealed(server, "--group", "home");
  assert.equal(machine.open(), "");
  const { machines } = await server.json("group", "show", "home");
  assert.deepEqual(
    (machines as Record<string, unknown>[]).map(({ name, policy, policyOf }) => [name, policy, policyOf]),
    [["nas", "lease", "group"]],
  );
  await machine.announce(900, 0);
  assert.equal(machine.open(), "a secret");
  const { stdout } = await nightlatch("audit", "tail", "--admin", server.admin);
  assert.match(stdout, /nas +invited by user \d+, into the group home, until /);
  assert.match(stdout, /nas +enrolled from 127\.0\.0\.1, into the group home, volume /);
  assert.equal((await server.json("audit", "verify"))["ok"], true);
});

test("an operator opens a window, sees it, and a lock ends it for good", { skip }, async () => {
  await using server = await serve();
  using machine = await sealed(server);
  await server.json("machine", "policy", "nas", "lease");
  const granted = await server.json("machine", "lease", "nas", "15m", "--grace", "0");
  const { lease } = granted["machine"] as { lease: { number: number; graceMs: number } };
  assert.deepEqual([lease.number, lease.graceMs], [1, 0]);
  const shown = await server.json("machine", "show", "nas");
  assert.deepEqual((shown["machine"] as { lease: unknown }).lease, lease);
  await server.json("machine", "lock", "nas");
  assert.equal(machine.open(), "");
  await assert.rejects(machine.announce(900, 60), { code: "machine/locked" });
  await server.json("machine", "unlock", "nas");
  assert.equal(machine.open(), "");

  await server.json("machine", "lease", "nas", "15m", "--grace", "0");
  assert.equal(machine.open(), "a secret");
  const verified = await server.json("audit", "verify");
  assert.equal(verified["ok"], true);
  assert.equal(machine.open(), "");
});

test("what was released in a lease stays so when the server is killed and started again", { skip }, async () => {
  const home = mkdtempSync(join(tmpdir(), "nightlatch-lease-"));
  try {
    const first = await serve({ home });
    using machine = await sealed(first);
    await first.json("machine", "policy", "nas", "lease");
    await machine.announce(900, 0);
    assert.equal(machine.open(), "a secret");
    await first.end("SIGKILL");
    await using second = await serve({ home, listen: new URL(first.url).host });
    assert.equal(machine.open(), "");
    const lines = await second.json("machine", "show", "nas");
    const [latch] = lines["latches"] as { releasedInLease: number }[];
    assert.equal(latch?.releasedInLease, 1);
    await machine.announce(900, 0);
    assert.equal(machine.open(), "a secret");
  } finally {
    rmSync(home, { recursive: true });
  }
});
