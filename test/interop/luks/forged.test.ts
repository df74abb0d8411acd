import assert from "node:assert/strict";
import { copyFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { formatIntent, type Intent } from "../../../src/formats/own/intent.ts";
import type { Settled } from "../../../src/luks/change/change.ts";
import { listTokens } from "../../../src/luks/header/bindings.ts";
import { readVolumeHeader } from "../../../src/luks/header/header.ts";
import { findSlot } from "../../../src/luks/header/slots.ts";
import { nodeSystem } from "../../../src/system/node.ts";
import type { System } from "../../../src/system/port.ts";
import { faultySystem } from "../../support/faults.ts";
import { cutAfter } from "../../support/luks-bench.ts";
import { type Bench, begin, bind, look, makeState, TestServer, unbind } from "../../support/luks-change.ts";
import { addSlot, addToken, forge, makeFolder, makeVolume, opens, PASSPHRASE, runTool } from "../../support/volumes.ts";

/**
 * Headers as somebody edits them who had the disk in hand. "recovery" is the owner's, in slot 5,
 * and has to open it whatever happens.
 */

const folder = makeFolder();
const RECOVERY = "recovery";
const SMALL = { luks1: [], luks2: ["--luks2-keyslots-size", "2m"] };
let made = 0;

function makeBench(type: "luks1" | "luks2" = "luks2", iterations = 1500): Bench {
  const image = makeVolume(folder, `volume-${made++}.img`, type, SMALL[type], 4);
  addSlot(image, RECOVERY, ["--key-slot", "5", "--pbkdf-force-iterations", String(iterations)]);
  return { image, stateFolder: makeState(folder), server: new TestServer() };
}

async function saltOf({ image }: Bench, slot: number): Promise<string> {
  return findSlot(await readVolumeHeader(nodeSystem, image), slot)?.salt ?? assert.fail(`no keyslot ${slot}`);
}

const forged = (intent: Partial<Intent>): Intent => ({
  id: "A".repeat(22),
  operation: "bind",
  adds: null,
  removes: [],
  ...intent,
});

function assertOpens({ image }: Bench, what = ""): void {
  assert.ok(opens(image, RECOVERY), `recovery: ${what}`);
  assert.ok(opens(image, PASSPHRASE), `passphrase: ${what}`);
}

/** Begins a change and ends it: what it settled, in the order in which it was told. */
async function settle(bench: Bench, passphrase = PASSPHRASE): Promise<readonly Settled[]> {
  const told: Settled[] = [];
  const change = await begin(nodeSystem, bench, passphrase, (settled) => told.push(settled));
  await change[Symbol.asyncDispose]();
  assert.deepEqual(change.settled, told);
  return told;
}

const outcomes = (settled: readonly Settled[]) => settled.map(({ outcome, orphans }) => ({ outcome, orphans }));

const NOTE = /^cryptsetup token import/;

test("a forged note of a removal kills nothing, and is told before it goes", async () => {
  const bench = makeBench();
  const removes = [{ keyslot: 5, salt: await saltOf(bench, 5), digest: "A".repeat(43) }];
  addToken(bench.image, formatIntent(forged({ operation: "unbind", removes })));
  const told: Settled[] = [];
  const image = join(folder, "told.img");
  const tell = (settled: Settled) => {
    told.push(settled);
    copyFileSync(bench.image, image);
  };
  await (await begin(nodeSystem, bench, PASSPHRASE, tell))[Symbol.asyncDispose]();
  assert.deepEqual(outcomes(told), [{ outcome: "disowned", orphans: [5] }]);
  assert.deepEqual((await look({ ...bench, image })).tokens, ["nightlatch-intent "], "it went before it was told");
  assert.deepEqual((await look(bench)).tokens, []);
  assertOpens(bench);
  assert.ok((await bind(nodeSystem, bench)) !== null);
  assert.deepEqual(await look(bench), { slots: [0, 1, 5], tokens: ["clevis 1"], files: [] });
  assertOpens(bench);
});

test("a forged note of an addition kills nothing; a slot that the passphrase at hand opens is not even named", async () => {
  const bench = makeBench();
  const note = formatIntent(forged({ adds: { keyslot: 5, iterations: 1500, digest: "A".repeat(43) } }));
  addToken(bench.image, note);
  assert.deepEqual(outcomes(await settle(bench)), [{ outcome: "disowned", orphans: [5] }]);
  addToken(bench.image, note);
  assert.deepEqual(outcomes(await settle(bench, RECOVERY)), [{ outcome: "disowned", orphans: [] }]);
  assert.deepEqual(await look(bench), { slots: [0, 5], tokens: [], files: [] });
  assertOpens(bench);
});

test("a slot with a slow KDF is never named as left over", async () => {
  const bench = makeBench("luks2", 5000);
  const removes = [{ keyslot: 5, salt: await saltOf(bench, 5), digest: "A".repeat(43) }];
  addToken(bench.image, formatIntent(forged({ operation: "unbind", removes })));
  assert.deepEqual(outcomes(await settle(bench)), [{ outcome: "disowned", orphans: [] }]);
  assertOpens(bench);
});

test("a note that was edited after the cut, or taken away, is not acted upon", async () => {
  for (const edit of ["edited", "moved", "gone"] as const) {
    const bench = makeBench();
    await bind(nodeSystem, bench);
    await cutAfter(NOTE, (system) => unbind(system, bench));
    const salts = [await saltOf(bench, 1), await saltOf(bench, 5)] as const;
    if (edit === "gone") runTool(["cryptsetup", "token", "remove", "--token-id", "0", bench.image]);
    else {
      forge(bench.image, (text) => {
        const named = text.replace(`"keyslot":1,"salt":"${salts[0]}"`, `"keyslot":5,"salt":"${salts[1]}"`);
        assert.notEqual(named, text);
        return edit === "edited" ? named : named.replace('"keyslots":["1"]', '"keyslots":["5"]');
      });
    }
    const settled = outcomes(await settle(bench));
    // Slots that the record or the note names and no token holds: moved away from it, our own is
    // one.
    const [one, none] = [
      { outcome: "disowned", orphans: [1] },
      { outcome: "disowned", orphans: [] },
    ];
    const wanted = { edited: [{ outcome: "disowned", orphans: [5] }], moved: [one, none], gone: [] };
    assert.deepEqual(settled, wanted[edit], edit);
    const token = edit === "moved" ? "clevis 5" : "clevis 1";
    assert.deepEqual(await look(bench), { slots: [0, 1, 5], tokens: [token], files: [] }, edit);
    assertOpens(bench, edit);
  }
});

test("a note beside the machine's own is not acted upon; its own is", async () => {
  const bench = makeBench();
  await cutAfter(/luksAddKey/, (system) => bind(system, bench));
  const adds = { keyslot: 5, iterations: 1500, digest: "A".repeat(43) };
  addToken(bench.image, formatIntent(forged({ adds })));
  assert.deepEqual(outcomes(await settle(bench)), [
    { outcome: "undone", orphans: [] },
    { outcome: "disowned", orphans: [5] },
  ]);
  assert.deepEqual(await look(bench), { slots: [0, 5], tokens: [], files: [] });
  assertOpens(bench);
});

test("a slot that was there before the change is not taken for what it added, wherever it was moved", async () => {
  const bench = makeBench("luks2", 1001 + 0x101); // the count that is drawn below
  const drawn: System["random"] = (bytes) => (bytes === 2 ? Buffer.from([1, 1]) : nodeSystem.random(bytes));
  await cutAfter(NOTE, (system) => bind({ ...system, run: system.run, random: drawn }, bench));
  forge(bench.image, (text) =>
    text.replace('"5":{"type":"luks2"', '"1":{"type":"luks2"').replace('"0","5"', '"0","1"'),
  );
  assert.ok(opens(bench.image, RECOVERY, 1));
  assert.deepEqual(outcomes(await settle(bench)), [{ outcome: "undone", orphans: [] }]);
  const { slots, tokens, files } = await look(bench);
  // A backup that has it in 5.
  assert.deepEqual({ slots, tokens, kept: files.length }, { slots: [0, 1], tokens: [], kept: 1 });
  assertOpens(bench);
});

test("another machine's unfinished binding is told by its slot, and left", async () => {
  const bench = makeBench("luks2", 5000);
  await cutAfter(/luksAddKey/, (system) => bind(system, bench));
  const elsewhere = { ...bench, stateFolder: makeState(folder) };
  assert.deepEqual(outcomes(await settle(elsewhere)), [{ outcome: "disowned", orphans: [1] }]);
  assert.deepEqual(await look(elsewhere), { slots: [0, 1, 5], tokens: [], files: [] });
  // Where it began, the record is not enough any more; the backup holds nothing that is not on the
  // disk.
  assert.deepEqual(outcomes(await settle(bench)), [{ outcome: "disowned", orphans: [1] }]);
  assert.deepEqual(await look(bench), { slots: [0, 1, 5], tokens: [], files: [] });
  assertOpens(bench);
});

for (const type of ["luks2", "luks1"] as const) {
  test(`${type}: what was cut short on a disk is not carried out on its copy`, async () => {
    const bench = makeBench(type, 5000);
    await bind(nodeSystem, bench);
    const copy = { ...bench, image: join(folder, `copy-${made++}.img`) };
    copyFileSync(bench.image, copy.image);
    await cutAfter(type === "luks2" ? NOTE : /^write .*intent-/, (system) => unbind(system, bench));
    assert.deepEqual(outcomes(await settle(copy)), []);
    assert.deepEqual((await look(copy)).tokens, ["clevis 1"]);
    assert.deepEqual((await look(copy)).slots, [0, 1, 5]);
    for (const each of [bench, copy]) {
      await unbind(nodeSystem, each);
      assert.deepEqual(await look(each), { slots: [0, 5], tokens: [], files: [] });
      assertOpens(each);
    }
  });
}

test("a record is not carried out where the passphrase opens no slot that it knows", async () => {
  const bench = makeBench("luks2", 5000);
  await bind(nodeSystem, bench);
  await cutAfter(NOTE, (system) => unbind(system, bench));
  runTool(["cryptsetup", "luksKillSlot", "-q", bench.image, "0", "--key-file", "-"], RECOVERY);
  runTool(["cryptsetup", "luksAddKey", "-q", "--key-slot", "7", bench.image], `${RECOVERY}\n${PASSPHRASE}`);
  assert.deepEqual(outcomes(await settle(bench)), [{ outcome: "disowned", orphans: [] }]);
  assert.deepEqual((await look(bench)).slots, [1, 5, 7]);
});

test("the record is written before the note and removed after it", async () => {
  const bench = makeBench();
  const system = faultySystem(nodeSystem, { at: 0, when: "after" });
  await bind(system, bench);
  const steps = system.steps
    .filter((step) => !step.startsWith("cryptsetup open"))
    .map((step) => step.replace(bench.stateFolder, "STATE").replace(/[0-9a-f]{8}-[-0-9a-f]{27}/, "UUID"));
  assert.deepEqual(steps, [
    "mkdir STATE",
    "cryptsetup luksHeaderBackup -q",
    "sync STATE/header-UUID.1.backup",
    "write STATE/intent-UUID.json",
    "cryptsetup token import",
    "cryptsetup luksAddKey -q",
    "cryptsetup token import",
    "remove STATE/header-UUID.1.backup",
    "cryptsetup token remove",
    "remove STATE/intent-UUID.json",
  ]);
  assert.deepEqual(
    listTokens(await readVolumeHeader(nodeSystem, bench.image)).map(({ type }) => type),
    ["clevis"],
  );
  assert.deepEqual(readdirSync(bench.stateFolder), ["lock"]);
});
