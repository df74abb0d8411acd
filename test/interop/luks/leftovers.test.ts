/**
 * What an earlier run left behind, and what somebody else did to the header meanwhile: nothing is
 * taken that is not ours, and the last way in stays.
 */
import assert from "node:assert/strict";
import { closeSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { isError } from "../../../src/core/errors.ts";
import { planRemovals } from "../../../src/luks/change/authority.ts";
import { bindVolume } from "../../../src/luks/change/bind.ts";
import type { Settled } from "../../../src/luks/change/change.ts";
import { unbindVolume } from "../../../src/luks/change/unbind.ts";
import { makePassphrase } from "../../../src/luks/cryptsetup/passphrase.ts";
import { listTokens } from "../../../src/luks/header/bindings.ts";
import { readVolumeHeader } from "../../../src/luks/header/header.ts";
import { nodeSystem } from "../../../src/system/node.ts";
import type { System } from "../../../src/system/port.ts";
import { PowerCut } from "../../support/faults.ts";
import { cutAfter, fails, folder, leavesAlone, makeBench } from "../../support/luks-bench.ts";
import { begin, bind, headerDigest, look, unbind } from "../../support/luks-change.ts";
import { addSlot, addToken, opens, PASSPHRASE, runTool } from "../../support/volumes.ts";

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
    const removes = await planRemovals(nodeSystem, change, tokens, new Set([1]));
    const said = `${bench.image}: the passphrase that was given opens only keyslot 1, which is to be removed`;
    await assert.rejects(unbindVolume(nodeSystem, change, removes), fails("luks/last-way", said));
    using other = makePassphrase(nodeSystem);
    const order = { passphrase: other, token: bench.server.seal(other), replaces: removes };
    await assert.rejects(bindVolume(nodeSystem, change, order), fails("luks/last-way", said));
  });
  assert.ok(opens(bench.image, PASSPHRASE));
});

test("nor is it by carrying out what an earlier run had begun", async () => {
  const bench = makeBench();
  await using first = await begin(nodeSystem, bench);
  using passphrase = makePassphrase(nodeSystem);
  const own = passphrase.reveal().toString("latin1");
  await bindVolume(nodeSystem, first, { passphrase, token: bench.server.seal(passphrase), replaces: [] });
  await first[Symbol.asyncDispose]();
  await cutAfter(/token import/, (system) => unbind(system, bench));
  const before = await headerDigest(bench.image);
  await assert.rejects(begin(nodeSystem, bench, own), (error) => isError(error, "luks/last-way"));
  assert.equal(await headerDigest(bench.image), before);
  await (await begin(nodeSystem, bench))[Symbol.asyncDispose]();
  assert.deepEqual(await look(bench), { slots: [0], tokens: [], files: [] });
});

test("a leftover slot that somebody else's token refers to by now is left alone", async () => {
  const bench = makeBench();
  await cutAfter(/luksAddKey/, (system) => bind(system, bench));
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
  await cutAfter(/luksAddKey/, (system) => bind(system, bench));
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
        const { patch } = await import("../../support/volumes.ts");
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

test("another program's token that goes while we bind is noticed: the binding is undone, the backup brings it back", async () => {
  for (const step of ["token import", "luksAddKey"] as const) {
    const bench = makeBench();
    addToken(bench.image, { type: "other", keyslots: [], note: "somebody else's" });
    const { uuid } = await readVolumeHeader(nodeSystem, bench.image);
    let done = false;
    const harmful: System = {
      ...nodeSystem,
      run: async (command) => {
        const exit = await nodeSystem.run(command);
        if (!done && command.argv.join(" ").includes(step)) {
          done = true;
          runTool(["cryptsetup", "token", "remove", "--token-id", "0", bench.image]);
        }
        return exit;
      },
    };
    const backup = join(bench.stateFolder, `header-${uuid}.1.backup`);
    await assert.rejects(bind(harmful, bench), (error) => {
      assert.ok(isError(error, "luks/harmed"), String(error));
      assert.equal(error.message, `${bench.image}: token 0 that had no part in the change is not what it was`);
      assert.match(error.meaning ?? "", /^The binding was not made\. Another program changed it meanwhile/);
      assert.match(error.remedy ?? "", new RegExp(`cryptsetup luksHeaderRestore .* --header-backup-file ${backup}$`));
      return true;
    });
    const left = await look(bench);
    assert.deepEqual([left.slots, left.tokens, left.files], [[0], [], [`header-${uuid}.1.backup`]]);
    runTool(["cryptsetup", "luksHeaderRestore", "-q", bench.image, "--header-backup-file", backup]);
    assert.deepEqual((await look(bench)).tokens, ["other "]);
    assert.ok(opens(bench.image, PASSPHRASE));
  }
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

/**
 * A system whose power goes in the middle of luksmeta's wipe: the data is gone, the table names it
 * still.
 */
function cutInWipe(image: string): System {
  return {
    ...nodeSystem,
    run: async (command) => {
      const [program, action, ...args] = command.argv;
      if (program !== "luksmeta" || action !== "wipe") return nodeSystem.run(command);
      const header = await readVolumeHeader(nodeSystem, image);
      const keyslot = Number(args[args.indexOf("-s") + 1]);
      const entry = header.version === 1 ? header.meta?.find((record) => record.keyslot === keyslot) : undefined;
      assert.ok(entry?.data);
      const file = openSync(image, "r+");
      writeSync(file, Buffer.alloc(entry.lengthBytes), 0, entry.lengthBytes, entry.offsetBytes);
      closeSync(file);
      throw new PowerCut();
    },
  };
}

test("luks1: what luksmeta had half wiped when the power went is wiped by the next run", async () => {
  const bench = makeBench("luks1");
  await bind(nodeSystem, bench);
  await assert.rejects(bind(cutInWipe(bench.image), bench, "all"), PowerCut);
  assert.deepEqual((await look(bench)).tokens, ["clevis ", "clevis 2"]);
  await bind(nodeSystem, bench, "all");
  assert.deepEqual(await look(bench), { slots: [0, 2], tokens: ["clevis 2"], files: [] });

  bench.server.isReachable = false;
  // And taken back, up to the cut.
  await assert.rejects(bind(cutInWipe(bench.image), bench), /cannot be reached/);
  assert.deepEqual((await look(bench)).tokens, ["clevis 1", "clevis 2"]);
  await unbind(nodeSystem, bench, [2]);
  assert.deepEqual(await look(bench), { slots: [0], tokens: [], files: [] });
  assert.ok(opens(bench.image, PASSPHRASE));
});
