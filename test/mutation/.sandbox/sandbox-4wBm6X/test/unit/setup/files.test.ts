// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { FileStep } from "../../../src/boot/initramfs/mending.ts";
import { releaseSetup, writeSetupFiles } from "../../../src/setup/files.ts";
import { writableSystem } from "../../support/writable-files.ts";

const STATE = "/state";
const RECORD = `${STATE}/initramfs-setup.json`;
const PATHS = ["driver", "certificates", "network"].map((what) => `/etc/initramfs-tools/hooks/nightlatch-${what}`);

const step = fc.record({
  kind: fc.constant("file" as const),
  path: fc.constantFrom(...PATHS),
  text: fc.string({ maxLength: 30 }).map((text) => `${text}\n`),
  mode: fc.constantFrom(0o644 as const, 0o755 as const),
}) satisfies fc.Arbitrary<FileStep>;
const steps = fc.uniqueArray(step, { selector: ({ path }) => path, maxLength: 3 });
const before = fc.dictionary(fc.constantFrom(...PATHS), fc.string({ maxLength: 30 }));

test("whatever stood there, and however often it is written: taking it back restores every byte", async () => {
  await fc.assert(
    fc.asyncProperty(before, fc.array(steps, { minLength: 1, maxLength: 4 }), async (files, rounds) => {
      const world: Record<string, string | Buffer> = { ...files };
      const system = writableSystem(world);
      for (const round of rounds) await writeSetupFiles(system, STATE, "one", round);
      const released = await releaseSetup(system, STATE, "one");
      assert.deepEqual(released?.kept, []);
      assert.deepEqual(texts(world), { ...files });
    }),
  );
});

test("doing it twice leaves what doing it once leaves", async () => {
  await fc.assert(
    fc.asyncProperty(before, steps, async (files, round) => {
      const world: Record<string, string | Buffer> = { ...files };
      const system = writableSystem(world);
      await writeSetupFiles(system, STATE, "one", round);
      const once = texts(world);
      await writeSetupFiles(system, STATE, "one", round);
      assert.deepEqual(texts(world), once);
    }),
  );
});

test("what somebody changed since stays, and is named", async () => {
  const [path = ""] = PATHS;
  const world: Record<string, string | Buffer> = {};
  const system = writableSystem(world);
  await writeSetupFiles(system, STATE, "one", [{ kind: "file", path, text: "ours\n", mode: 0o644 }]);
  world[path] = "the administrator's\n";
  assert.deepEqual(await releaseSetup(system, STATE, "one"), { restored: [], kept: [path] });
  assert.deepEqual(texts(world), { [path]: "the administrator's\n" });
});

test("it stays for as long as a volume needs it", async () => {
  const [path = ""] = PATHS;
  const world: Record<string, string | Buffer> = {};
  const system = writableSystem(world);
  const files: FileStep[] = [{ kind: "file", path, text: "ours\n", mode: 0o644 }];
  for (const uuid of ["one", "two"]) await writeSetupFiles(system, STATE, uuid, files);
  assert.equal(await releaseSetup(system, STATE, "other"), null);
  assert.equal(await releaseSetup(system, STATE, "one"), null);
  assert.equal(String(world[path]), "ours\n");
  assert.deepEqual(await releaseSetup(system, STATE, "two"), { restored: [path], kept: [] });
  assert.deepEqual(world, {});
});

test("a record that names another file is refused, and nothing is touched", async () => {
  const written = Buffer.alloc(32).toString("base64url");
  for (const path of ["/etc/passwd", "/etc/dracut.conf.d/nightlatch-../../passwd", "/etc/initramfs-tools/hooks/own"]) {
    const record = { version: 1, volumes: ["one"], files: [{ path, written, before: null }] };
    const world: Record<string, string | Buffer> = { [RECORD]: JSON.stringify(record), [path]: "x" };
    await assert.rejects(releaseSetup(writableSystem(world), STATE, "one"), { code: "machine/bad-state" });
    assert.equal(world[path], "x");
  }
});

/** What is there beside the record. */
const texts = (world: Record<string, string | Buffer>) =>
  Object.fromEntries(
    Object.entries(world)
      .filter(([path]) => path !== RECORD)
      .map(([path, content]) => [path, String(content)]),
  );
