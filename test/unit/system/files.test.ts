import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { makeFolder, removeDurably, writeDurably } from "../../../src/system/files.ts";
import { factsOf, listFolder, readRange, readWhole } from "../../../src/system/read.ts";

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "nightlatch-files-"));
});
afterEach(() => rm(folder, { recursive: true }));

test("a durable write replaces the whole file, with its mode, and leaves nothing beside it", async () => {
  const path = join(folder, "a");
  await writeFile(path, "old");
  await writeDurably(path, Buffer.from("new"), 0o640);
  assert.equal(await readFile(path, "utf8"), "new");
  assert.equal((await stat(path)).mode & 0o777, 0o640);
  assert.deepEqual(await readdir(folder), ["a"]);
});

test("a write that cannot be done keeps the old file and leaves nothing beside it", async () => {
  const path = join(folder, "taken");
  await writeFile(join(folder, "blocker"), "");
  await assert.rejects(writeDurably(join(folder, "blocker", "x"), Buffer.from("new"), 0o600), { code: "file/missing" });
  await assert.rejects(writeDurably(join(path, "deep", "x"), Buffer.from("new"), 0o600), { code: "file/missing" });
  assert.deepEqual(await readdir(folder), ["blocker"]);
});

test("reading is bounded", async () => {
  const path = join(folder, "a");
  await writeFile(path, "0123456789");
  assert.equal((await readWhole(path, 10)).toString(), "0123456789");
  await assert.rejects(readWhole(path, 9), { code: "file/too-large", message: `${path} is larger than 9 bytes` });
  assert.equal((await readRange(path, 8, 100)).toString(), "89");
  assert.equal((await readRange(path, 100, 5)).length, 0);
  await assert.rejects(readWhole(join(folder, "none"), 9), { code: "file/missing" });
});

test("a volume is a file or a block device: anything else is refused, and a pipe is not waited for", async () => {
  const pipe = join(folder, "pipe");
  assert.equal(spawnSync("mkfifo", [pipe]).status, 0);
  for (const path of [pipe, folder, "/dev/zero"]) {
    await assert.rejects(readRange(path, 0, 1), {
      code: "file/wrong-kind",
      message: `${path} is neither a block device nor a file`,
    });
  }
});

test("an absent file or folder is an answer where that is a fair question", async () => {
  assert.equal(await factsOf(join(folder, "none")), null);
  assert.deepEqual(await listFolder(join(folder, "none")), []);
  await removeDurably(join(folder, "none"));
});

test("a folder is made with its parents, from any spelling of its path; one that exists keeps its mode", async () => {
  const path = join(folder, "a", "b", "c");
  await makeFolder(`${folder}/a/../a//b/c/`, 0o750);
  assert.equal((await stat(path)).mode & 0o777, 0o750);
  await makeFolder(path, 0o700);
  assert.equal((await stat(path)).mode & 0o777, 0o750);
  await writeFile(join(folder, "file"), "");
  await assert.rejects(makeFolder(join(folder, "file", "x"), 0o700), { code: "file/missing" });
});
