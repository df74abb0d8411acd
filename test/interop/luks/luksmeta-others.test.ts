/**
 * What luksmeta holds beside our binding stays what it is: asked of luksmeta itself, over entries
 * of every size.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { copyFileSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { isError, type NightlatchError } from "../../../src/core/errors.ts";
import { CLEVIS_UUID, findGap, findHole } from "../../../src/formats/luks/luksmeta.ts";
import { type Luks1Volume, readVolumeHeader } from "../../../src/luks/header/header.ts";
import { nodeSystem } from "../../../src/system/node.ts";
import type { RunRequest, System } from "../../../src/system/port.ts";
import { fails, folder, leavesAlone, makeBench } from "../../support/luks-bench.ts";
import { type Bench, bind, unbind } from "../../support/luks-change.ts";
import { makeVolume } from "../../support/volumes.ts";

const OTHER_UUID = "11111111-2222-4333-8444-555555555555";
const PAGE = 4096;

const luksmeta = (args: readonly string[], input = Buffer.alloc(0)) =>
  execFileSync("luksmeta", args, { input, stdio: ["pipe", "pipe", "pipe"] });
const init = (image: string) => luksmeta(["init", "-f", "-d", image]);
const save = (image: string, slot: number, bytes: number, uuid = OTHER_UUID) =>
  luksmeta(["save", "-d", image, "-s", String(slot), "-u", uuid], Buffer.alloc(bytes, slot + 0x41));
const wipe = (image: string, slot: number) => luksmeta(["wipe", "-f", "-d", image, "-s", String(slot)]);
const load = (image: string, slot: number) => luksmeta(["load", "-d", image, "-s", String(slot)]);

async function read(image: string): Promise<Luks1Volume> {
  const header = await readVolumeHeader(nodeSystem, image);
  assert.equal(header.version, 1);
  return header as Luks1Volume;
}

const steps = fc.array(
  fc.record({
    slot: fc.integer({ min: 1, max: 7 }),
    bytes: fc.oneof(fc.integer({ min: 1, max: 5 * PAGE }), fc.constantFrom(PAGE, 2 * PAGE, 3 * PAGE, 3 * PAGE + 1)),
    wipes: fc.boolean(),
  }),
  { minLength: 1, maxLength: 12 },
);

test("where luksmeta will write is known beforehand, and what it would harm", async () => {
  const empty = makeVolume(folder, "empty.img", "luks1", [], 6);
  init(empty);
  const image = join(folder, "gaps.img");
  const seen = { free: 0, taken: 0, full: 0 };
  await fc.assert(
    fc.asyncProperty(steps, async (all) => {
      copyFileSync(empty, image);
      for (const { slot, bytes, wipes } of all) {
        const before = await read(image);
        const hole = findHole(before);
        assert.ok(hole !== null && before.meta !== null);
        if (before.meta.some(({ keyslot }) => keyslot === slot)) {
          if (wipes) wipe(image, slot);
          continue;
        }
        const gap = findGap(hole, before.meta, bytes);
        seen[typeof gap === "string" ? gap : "free"]++;
        if (gap === "full") continue; // luksmeta 9 would write over the encrypted data
        save(image, slot, bytes);
        const after = await read(image);
        const written = after.meta?.find(({ keyslot }) => keyslot === slot);
        if (gap !== "taken") assert.equal(written?.offsetBytes, gap.offsetBytes);
        const harmed = before.meta.filter(({ keyslot, data }) => {
          const now = after.meta?.find((entry) => entry.keyslot === keyslot);
          return data !== null && now?.data == null;
        });
        assert.equal(harmed.length > 0, gap === "taken", JSON.stringify({ gap, harmed: harmed.length }));
        if (gap === "taken") return; // what comes after it is beyond both
      }
    }),
    { numRuns: process.env["NIGHTLATCH_TEST_FULL"] ? 400 : 30 },
  );
  assert.ok(seen.free > 0 && seen.taken > 0, JSON.stringify(seen));
});

function benchWithEntry(bytes: number): Bench {
  const bench = makeBench("luks1");
  init(bench.image);
  save(bench.image, 3, bytes);
  return bench;
}

test("a binding that luksmeta would write over another's data is refused, and both remedies help", async () => {
  const bench = benchWithEntry(3 * PAGE);
  const message = `${bench.image}: luksmeta as it is up to version 10 would write the binding over another one's data`;
  await leavesAlone(bench, () => assert.rejects(bind(nodeSystem, bench), fails("luks/unsupported", message)));
  wipe(bench.image, 3);
  await bind(nodeSystem, bench);
  save(bench.image, 3, 3 * PAGE);
  assert.equal(load(bench.image, 3).length, 3 * PAGE);
  await unbind(nodeSystem, bench);
  assert.equal(load(bench.image, 3).length, 3 * PAGE);
});

/**
 * As a luksmeta that takes another place than it should, or a program beside it that does: the
 * entry's data goes where page 1 is.
 */
function clumsy(bytes: Buffer, dies = false): System {
  return {
    ...nodeSystem,
    async run(command: RunRequest) {
      const exit = await nodeSystem.run(command);
      const [program, action, , device = ""] = command.argv;
      if (program !== "luksmeta" || action !== "save") return exit;
      const hole = findHole(await read(device));
      assert.ok(hole !== null);
      const argv = [
        "dd",
        `of=${device}`,
        `seek=${hole.offsetBytes + PAGE}`,
        "oflag=seek_bytes",
        "conv=notrunc",
      ] as const;
      await nodeSystem.run({ argv, stdin: bytes, timeoutMs: 10_000 });
      return dies ? { ...exit, status: null, signal: "SIGKILL" as const } : exit;
    },
  };
}

test("what luksmeta wrote over is put back, and the binding is not made", async () => {
  const bench = benchWithEntry(5000);
  const before = readFileSync(bench.image);
  await assert.rejects(bind(clumsy(Buffer.from("x")), bench), (error) => {
    fails("luks/refused", `${bench.image}: luksmeta wrote over the entry of another keyslot`)(error);
    assert.equal((error as NightlatchError).meaning, "The binding was not made; the volume is as it was.");
    return true;
  });
  const hole = findHole(await read(bench.image));
  assert.ok(hole !== null);
  const inHole = (bytes: Buffer) => bytes.subarray(hole.offsetBytes, hole.offsetBytes + 4 * PAGE);
  assert.deepEqual(inHole(readFileSync(bench.image)).subarray(0, 3 * PAGE), inHole(before).subarray(0, 3 * PAGE));
  assert.equal(load(bench.image, 3).length, 5000);
});

test("so is what a luksmeta wrote over that died", async () => {
  const bench = benchWithEntry(5000);
  await assert.rejects(
    bind(clumsy(Buffer.from("x"), true), bench),
    fails("luks/refused", `${bench.image}: luksmeta wrote over the entry of another keyslot`),
  );
  assert.equal(load(bench.image, 3).length, 5000);
});

test("an entry that shares bytes with another is not wiped: neither alone nor with its binding", async () => {
  const bench = makeBench("luks1");
  await bind(nodeSystem, bench);
  // A larger one is made to lie over ours: its row is written as luksmeta would, had it found the
  // place free.
  wipe(bench.image, 1);
  save(bench.image, 5, 3 * PAGE);
  save(bench.image, 1, 900, CLEVIS_UUID);
  const { meta } = await read(bench.image);
  assert.deepEqual(
    meta?.map(({ keyslot, offsetBytes }) => [keyslot, offsetBytes % (1 << 20) > 0]),
    [
      [1, true],
      [5, true],
    ],
  );
  await assert.rejects(unbind(nodeSystem, bench), (error) => {
    assert.ok(isError(error, "luks/unsupported"), String(error));
    assert.match(error.message, /the luksmeta entry of keyslot 1 shares bytes with that of keyslot 5$/);
    assert.match(error.remedy ?? "", /cryptsetup luksKillSlot DEV 1$/);
    return true;
  });
  assert.equal((await read(bench.image)).keyslots[1]?.active, true);
});
