import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync, truncateSync } from "node:fs";
import { test } from "node:test";
import { isError, type NightlatchError } from "../../../src/core/errors.ts";
import { Secret } from "../../../src/core/secret.ts";
import { bindVolume, requireRoom } from "../../../src/luks/change/bind.ts";
import { findSlotOpenedBy, opensSlot } from "../../../src/luks/cryptsetup/keyslots.ts";
import { makePassphrase } from "../../../src/luks/cryptsetup/passphrase.ts";
import { readVolumeHeader } from "../../../src/luks/header/header.ts";
import { nodeSystem } from "../../../src/system/node.ts";
import type { System } from "../../../src/system/port.ts";
import { fails, leavesAlone, makeBench } from "../../support/luks-bench.ts";
import { begin, bind, look, TestServer } from "../../support/luks-change.ts";
import { addSlot, addToken, forge, opens, PASSPHRASE, runTool } from "../../support/volumes.ts";

test("a wrong passphrase changes nothing", async () => {
  for (const type of ["luks1", "luks2"] as const) {
    const bench = makeBench(type);
    await leavesAlone(bench, () =>
      assert.rejects(
        begin(nodeSystem, bench, "wrong"),
        fails("luks/wrong-passphrase", `${bench.image}: the passphrase opens no keyslot`),
      ),
    );
  }
});

test("a wrong passphrase is not taken for right because a token opens the volume", async (t) => {
  const key = spawnSync("keyctl", ["padd", "user", "nightlatch-test", "@u"], { input: PASSPHRASE, encoding: "utf8" });
  if (key.status !== 0) return t.skip(`keyctl does not work here: ${key.stderr ?? key.error?.message ?? ""}`);
  try {
    const bench = makeBench();
    runTool(["cryptsetup", "token", "add", "--key-description", "nightlatch-test", bench.image]);
    assert.ok(opens(bench.image, "wrong"), "cryptsetup by itself is fooled; else this test shows nothing");
    using wrong = Secret.copy(Buffer.from("wrong"));
    const header = await readVolumeHeader(nodeSystem, bench.image);
    assert.equal(await findSlotOpenedBy(nodeSystem, { device: bench.image }, header, wrong), null);
    using right = Secret.copy(Buffer.from(PASSPHRASE));
    assert.equal(await opensSlot(nodeSystem, { device: bench.image }, 0, right), true);
  } finally {
    spawnSync("keyctl", ["unlink", key.stdout.trim(), "@u"]);
  }
});

test("requirements are refused before the passphrase is asked for", async () => {
  const cases = [
    ["from-the-future", "Nothing was changed."],
    ["online-reencrypt-v2", "A reencryption is under way. Nothing was changed."],
  ] as const;
  for (const [requirement, meaning] of cases) {
    const bench = makeBench();
    forge(bench.image, (text) =>
      text.replace('"config":{', `"config":{"requirements":{"mandatory":["${requirement}"]},`),
    );
    await leavesAlone(bench, () =>
      assert.rejects(begin(nodeSystem, bench), (error) => {
        fails("luks/requirements", `${bench.image}: the volume's header requires "${requirement}"`)(error);
        assert.equal((error as NightlatchError).meaning, meaning);
        return true;
      }),
    );
  }
});

test("a null cipher is refused before the passphrase is asked for", async () => {
  const bench = makeBench();
  forge(bench.image, (text) => text.replace(/("segments":.*?"encryption":)"[^"]+"/s, '$1"cipher_null-ecb"'));
  const { holdVolume } = await import("../../../src/luks/change/begin.ts");
  await leavesAlone(bench, () =>
    assert.rejects(holdVolume(nodeSystem, bench.image, bench.stateFolder), (error) =>
      isError(error, "luks/null-cipher"),
    ),
  );
});

test("full keyslots are refused, 32 and 8", async () => {
  for (const [type, total, options] of [
    ["luks1", 8, []],
    ["luks2", 32, ["--luks2-keyslots-size", "8912896", "--offset", "32768"]],
  ] as const) {
    const bench = makeBench(type, options);
    truncateSync(bench.image, 24 << 20);
    for (let slot = 1; slot < total; slot++) addSlot(bench.image, `slot ${slot}`);
    await leavesAlone(bench, async () => {
      await using change = await begin(nodeSystem, bench);
      await assert.rejects(
        requireRoom(nodeSystem, change),
        fails("luks/no-keyslot", `${bench.image}: all ${total} keyslots are taken`),
      );
    });
  }
});

test("full tokens are refused", async () => {
  const bench = makeBench();
  for (let token = 0; token < 31; token++) addToken(bench.image, { type: "other", keyslots: [] });
  await leavesAlone(bench, async () => {
    await using change = await begin(nodeSystem, bench);
    await assert.rejects(
      requireRoom(nodeSystem, change),
      fails("luks/no-token-slot", `${bench.image}: fewer than two of the 32 LUKS2 tokens are free`),
    );
  });
});

test("a LUKS1 header without room for luksmeta is refused", async () => {
  const bench = makeBench("luks1", ["--align-payload", "1"]);
  await leavesAlone(bench, async () => {
    await using change = await begin(nodeSystem, bench);
    await assert.rejects(
      requireRoom(nodeSystem, change),
      fails("luks/unsupported", `${bench.image}: the LUKS1 header has no room for a binding`),
    );
  });
});

test("no binding is made when the metadata has no room for the intent, the keyslot or the token", async () => {
  for (const [leftBytes, code, message] of [
    [120, "luks/no-token-slot", /takes \d+ bytes of the header's metadata, and 119 are left$/],
    [400, "luks/no-token-slot", /takes \d+ bytes of the header's metadata, and 399 are left$/],
    // Where the estimate is short of it, cryptsetup refuses, and all is taken back.
    [700, "luks/refused", /: cryptsetup refused: Failed to import token from file$/],
  ] as const) {
    const bench = makeBench();
    fillMetadata(bench.image, leftBytes);
    const before = await look(bench);
    await assert.rejects(bind(nodeSystem, bench), (error) => {
      assert.ok(isError(error, code), String(error));
      assert.match(error.message, message);
      assert.match(
        error.meaning ?? "",
        /^(?:Nothing was changed\.|The binding was not made; the volume is as it was\.)/,
      );
      return true;
    });
    assert.deepEqual(await look(bench), before);
    assert.ok(opens(bench.image, PASSPHRASE));
  }
});

/** Leaves so much of the JSON area, whose last byte is always zero. */
function fillMetadata(image: string, leftBytes: number): void {
  const token = (length: number) => ({ type: "other", keyslots: [], x: "y".repeat(length) });
  addToken(image, token(0));
  const start = readFileSync(image).subarray(4096, 16_384);
  runTool(["cryptsetup", "token", "remove", "--token-id", "0", image]);
  addToken(image, token(start.length - start.indexOf(0) - leftBytes));
}

test("a binding that does not prove to open is taken back", async () => {
  for (const type of ["luks1", "luks2"] as const) {
    const bench = makeBench(type);
    const before = await look(bench);
    bench.server.isReachable = false;
    await assert.rejects(bind(nodeSystem, bench), (error) => {
      fails("net/unreachable", "the test's server cannot be reached")(error);
      assert.equal((error as NightlatchError).meaning, "The binding was not made; the volume is as it was.");
      return true;
    });
    assert.deepEqual(await look(bench), before);
    assert.ok(opens(bench.image, PASSPHRASE));

    // It releases something, but not this volume's.
    await using change = await begin(nodeSystem, { ...bench, server: new TestServer() });
    using passphrase = makePassphrase(nodeSystem);
    using other = makePassphrase(nodeSystem);
    const wrong = { ...change, prove: async () => Secret.copy(other.reveal()) };
    const order = { passphrase, token: bench.server.seal(passphrase), replaces: [] };
    await assert.rejects(
      bindVolume(nodeSystem, wrong, order),
      fails("luks/not-proved", `${bench.image}: what the server released does not open keyslot 1`),
    );
    assert.deepEqual(await look(bench), before);
  }
});

test("two changes do not overlap; a program that a killed run left running still counts", async () => {
  const bench = makeBench();
  await using first = await begin(nodeSystem, bench);
  const impatient: System = { ...nodeSystem, lock: (path) => nodeSystem.lock(path, 0) };
  const busy = (error: unknown) => isError(error, "system/busy");
  await assert.rejects(begin(impatient, bench), busy);
  const { lock } = first.volume;
  assert.ok(lock !== undefined);
  const stop = new AbortController();
  const argv = ["sh", "-c", "echo started; exec sleep 600"] as const;
  // spawn() returns before the program exists: closed by then, the descriptor's number could be
  // another file's.
  const started = Promise.withResolvers<void>();
  const straggler = nodeSystem.run({
    argv,
    timeoutMs: 600_000,
    lock,
    signal: stop.signal,
    take: () => started.resolve(),
  });
  const ended = assert.rejects(straggler);
  try {
    await started.promise;
    await first[Symbol.asyncDispose](); // as the kernel does when the run is killed
    await assert.rejects(begin(impatient, bench), busy);
  } finally {
    stop.abort();
  }
  await ended;
  await (await begin(nodeSystem, bench))[Symbol.asyncDispose]();
});
