import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type ErrorCode, isError, type NightlatchError } from "../../src/core/errors.ts";
import { Secret } from "../../src/core/secret.ts";
import { planRemovals } from "../../src/luks/authority.ts";
import { bindVolume, requireRoom } from "../../src/luks/bind.ts";
import { listTokens } from "../../src/luks/bindings.ts";
import type { Settled } from "../../src/luks/change.ts";
import { readVolumeHeader } from "../../src/luks/header.ts";
import { findSlotOpenedBy, opensSlot } from "../../src/luks/keyslots.ts";
import { makePassphrase } from "../../src/luks/passphrase.ts";
import { nodeSystem } from "../../src/system/node.ts";
import type { System } from "../../src/system/port.ts";
import { faultySystem, PowerCut } from "../faults.ts";
import { type Bench, begin, bind, headerDigest, look, makeState, TestServer, unbind } from "./luks-change.ts";
import { addSlot, addToken, forge, makeFolder, makeVolume, opens, PASSPHRASE, runTool } from "./volumes.ts";

const folder = makeFolder();
let made = 0;

function makeBench(type: "luks1" | "luks2" = "luks2", options: readonly string[] = []): Bench {
  const small = type === "luks2" && options.length === 0 ? ["--luks2-keyslots-size", "2m"] : options;
  const image = makeVolume(folder, `volume-${made++}.img`, type, small, 6);
  return { image, stateFolder: makeState(folder), server: new TestServer() };
}

const fails = (code: ErrorCode, message: string) => (error: unknown) => {
  assert.ok(isError(error, code), String(error));
  assert.equal(error.message, message);
  return true;
};

/** The same bytes before and after, and nothing left beside the lock. */
async function leavesAlone(bench: Bench, act: () => Promise<unknown>): Promise<void> {
  const before = await headerDigest(bench.image);
  await act();
  assert.equal(await headerDigest(bench.image), before, "the header was changed");
  assert.deepEqual(
    readdirSync(bench.stateFolder).filter((name) => name !== "lock"),
    [],
  );
}

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
  const passphrase = () => assert.fail("the passphrase was asked for");
  const { beginChange } = await import("../../src/luks/begin.ts");
  const order = {
    device: bench.image,
    stateFolder: bench.stateFolder,
    passphrase,
    prove: bench.server.prove,
    tell: () => {},
  };
  await leavesAlone(bench, () =>
    assert.rejects(beginChange(nodeSystem, order), (error) => isError(error, "luks/null-cipher")),
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
  for (const [leftBytes, failing, meaning] of [
    [120, "Failed to import token from file", "Nothing was changed."],
    [400, "", "The binding was not made; the volume is as it was."],
    [700, "Failed to import token from file", "The binding was not made; the volume is as it was."],
  ] as const) {
    const bench = makeBench();
    fillMetadata(bench.image, leftBytes);
    const before = await look(bench);
    await assert.rejects(bind(nodeSystem, bench), (error) => {
      assert.ok(isError(error, "luks/refused"), String(error));
      assert.match(error.message, new RegExp(`: cryptsetup refused.*${failing}$`));
      assert.equal(error.meaning, meaning);
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

test("the last proved way in is never removed", async () => {
  const bench = makeBench();
  await using first = await begin(nodeSystem, bench);
  using passphrase = makePassphrase(nodeSystem);
  const typed = passphrase.reveal().toString("latin1");
  await bindVolume(nodeSystem, first, { passphrase, token: bench.server.seal(passphrase), replaces: [] });
  await first[Symbol.asyncDispose]();
  // Somebody gives the binding's own passphrase as the one that stays.
  await leavesAlone(bench, async () => {
    await using change = await begin(nodeSystem, bench, typed);
    assert.equal(change.openedBy, 1);
    const tokens = listTokens(await readVolumeHeader(nodeSystem, bench.image));
    await assert.rejects(
      planRemovals(nodeSystem, change, tokens, new Set([1])),
      fails(
        "luks/last-way",
        `${bench.image}: the passphrase that was given opens only keyslot 1, which is to be removed`,
      ),
    );
  });
  assert.ok(opens(bench.image, PASSPHRASE));
});

/** Runs what is to be cut short again and again on what it left, until the power goes after the step of that name. */
async function cutAfter(step: string, run: (system: System) => Promise<unknown>): Promise<void> {
  for (let at = 1; ; at++) {
    const system = faultySystem(nodeSystem, { at, when: "after" });
    await assert.rejects(run(system), (error) => error instanceof PowerCut);
    if (system.steps.at(-1) === step) return;
  }
}

test("nor is it by carrying out what an earlier run had begun", async () => {
  const bench = makeBench();
  await using first = await begin(nodeSystem, bench);
  using passphrase = makePassphrase(nodeSystem);
  const own = passphrase.reveal().toString("latin1");
  await bindVolume(nodeSystem, first, { passphrase, token: bench.server.seal(passphrase), replaces: [] });
  await first[Symbol.asyncDispose]();
  await cutAfter("cryptsetup token import", (system) => unbind(system, bench));
  const before = await headerDigest(bench.image);
  await assert.rejects(begin(nodeSystem, bench, own), (error) => isError(error, "luks/last-way"));
  assert.equal(await headerDigest(bench.image), before);
  await (await begin(nodeSystem, bench))[Symbol.asyncDispose]();
  assert.deepEqual(await look(bench), { slots: [0], tokens: [], files: [] });
});

test("a leftover slot that somebody else's token refers to by now is left alone", async () => {
  const bench = makeBench();
  await cutAfter("cryptsetup luksAddKey -q", (system) => bind(system, bench));
  addToken(bench.image, { type: "somebody-elses", keyslots: ["1"] });
  await (await begin(nodeSystem, bench))[Symbol.asyncDispose]();
  assert.deepEqual(await look(bench), { slots: [0, 1], tokens: ["somebody-elses 1"], files: [] });
});

test("a token that shares its keyslot, or has several, is not removed", async () => {
  const bench = makeBench();
  await bind(nodeSystem, bench);
  addToken(bench.image, { type: "somebody-elses", keyslots: ["1"] });
  await leavesAlone(bench, async () => {
    await using change = await begin(nodeSystem, bench);
    const [token] = listTokens(await readVolumeHeader(nodeSystem, bench.image)).filter(({ type }) => type === "clevis");
    assert.ok(token !== undefined);
    await assert.rejects(
      planRemovals(nodeSystem, change, [token], new Set([1])),
      fails("luks/unsupported", `token ${token.id} shares its keyslot with another token: it was not made by bind`),
    );
  });
});

test("an intent that cannot be read stops every change, and says how to get rid of it", async () => {
  const bench = makeBench();
  const before = await look(bench);
  addToken(bench.image, { type: "nightlatch-intent", keyslots: [], version: 2 }, ["--token-id", "5"]);
  let remedy = "";
  await leavesAlone(bench, () =>
    assert.rejects(begin(nodeSystem, bench), (error) => {
      assert.ok(isError(error, "luks/unknown-intent"));
      assert.equal(error.message, `${bench.image}: token 5 is a note of Nightlatch's that this version cannot read`);
      remedy = error.remedy ?? "";
      return true;
    }),
  );
  // The commands that it names, run as they stand.
  const commands = remedy.match(/cryptsetup token \w+ --token-id 5 \S+?(?=[;.] )/g) ?? [];
  const said = commands.map((text) => runTool(text.split(" ")).toString());
  assert.match(String(said[0]), /"type":"nightlatch-intent"/);
  assert.deepEqual(await look(bench), before);
  await (await begin(nodeSystem, bench))[Symbol.asyncDispose]();
});

test("a record that cannot be read stops every change, and says how to get rid of it", async () => {
  const bench = makeBench();
  await cutAfter("cryptsetup luksAddKey -q", (system) => bind(system, bench));
  const [name] = readdirSync(bench.stateFolder).filter((file) => file.startsWith("intent-"));
  const path = join(bench.stateFolder, String(name));
  writeFileSync(path, '{"type":"nightlatch-intent-record","version":2}');
  const before = await headerDigest(bench.image);
  await assert.rejects(begin(nodeSystem, bench), (error) => {
    assert.ok(isError(error, "luks/unknown-intent"));
    assert.equal(error.message, `${path} is a record that this version cannot read`);
    assert.match(error.remedy ?? "", new RegExp(`move ${path} away`));
    return true;
  });
  assert.equal(await headerDigest(bench.image), before);
  rmSync(path);
  const told: number[] = [];
  const tell = ({ orphans }: Settled) => told.push(...orphans);
  await (await begin(nodeSystem, bench, PASSPHRASE, tell))[Symbol.asyncDispose]();
  assert.deepEqual(told, [1]);
  assert.deepEqual((await look(bench)).slots, [0, 1]);
});

test("garbage, a foreign file system and a missing device are refused and left alone", async () => {
  const bench = makeBench();
  const cases = [
    ["garbage.img", Buffer.alloc(1 << 20, 0x5a), "luks/none"],
    ["empty.img", Buffer.alloc(0), "luks/none"],
    [
      "damaged.img",
      Buffer.concat([readFileSync(bench.image).subarray(0, 4096), Buffer.alloc(1 << 20)]),
      "luks/damaged",
    ],
  ] as const;
  for (const [name, bytes, code] of cases) {
    const image = join(folder, name);
    writeFileSync(image, bytes);
    await leavesAlone({ ...bench, image }, () =>
      assert.rejects(begin(nodeSystem, { ...bench, image }), (error) => isError(error, code)),
    );
  }
  await assert.rejects(begin(nodeSystem, { ...bench, image: join(folder, "nowhere") }), (error) =>
    isError(error, "file/missing"),
  );
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
  // spawn() returns before the program exists: closed by then, the descriptor's number could be another file's.
  const started = Promise.withResolvers<void>();
  const straggler = nodeSystem.run({
    argv,
    deadlineMs: 600_000,
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

test("a slot that is harmed by something else is noticed, and the backup kept that mends it", async () => {
  const bench = makeBench();
  addSlot(bench.image, "second");
  const header = await readVolumeHeader(nodeSystem, bench.image);
  assert.equal(header.version, 2);
  const area = header.version === 2 ? header.keyslots.get(1)?.area : undefined;
  assert.ok(area !== undefined);
  const harmful: System = {
    ...nodeSystem,
    run: async (command) => {
      const exit = await nodeSystem.run(command);
      if (command.argv[1] === "luksAddKey") {
        const { patch } = await import("./volumes.ts");
        patch(bench.image, [[area.offsetBytes + 1000, Buffer.alloc(64, 0x5a)]]);
      }
      return exit;
    },
  };
  await assert.rejects(bind(harmful, bench), (error) => {
    assert.ok(isError(error, "luks/harmed"), String(error));
    const backup = join(bench.stateFolder, `header-${header.uuid}.1.backup`);
    assert.match(error.remedy ?? "", new RegExp(`cryptsetup luksHeaderRestore .* --header-backup-file ${backup}`));
    return true;
  });
  assert.ok(!opens(bench.image, "second") && opens(bench.image, PASSPHRASE));
  const [backup = ""] = (await look(bench)).files;
  runTool([
    "cryptsetup",
    "luksHeaderRestore",
    "-q",
    bench.image,
    "--header-backup-file",
    join(bench.stateFolder, backup),
  ]);
  assert.ok(opens(bench.image, "second") && opens(bench.image, PASSPHRASE));
});

test("a backup that is not explained is kept and told about; one that was cut short is removed", async () => {
  const bench = makeBench();
  addSlot(bench.image, "second");
  const { uuid } = await readVolumeHeader(nodeSystem, bench.image);
  const path = (number: number) => join(bench.stateFolder, `header-${uuid}.${number}.backup`);
  runTool(["cryptsetup", "luksHeaderBackup", "-q", "--header-backup-file", path(1), bench.image]);
  writeFileSync(path(2), readFileSync(path(1)).subarray(0, 1 << 20));
  runTool(["cryptsetup", "luksKillSlot", "-q", bench.image, "1", "--key-file", "-"], PASSPHRASE);
  await using change = await begin(nodeSystem, bench);
  assert.deepEqual(change.keptBackups, [path(1)]);
  assert.deepEqual((await look(bench)).files, [`header-${uuid}.1.backup`]);
});
