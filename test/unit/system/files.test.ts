import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtemp, readdir, readFile, realpath, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { makeFolder, removeDurably, writeDurably } from "../../../src/system/files.ts";
import { nodeSystem } from "../../../src/system/node.ts";
import { factsOf, listFolder, readRange, readWhole } from "../../../src/system/read.ts";

const READ = resolve(import.meta.dirname, "../../../src/system/read.ts");

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

test("reading takes the memory that a file takes, however much it may take", async () => {
  const path = join(folder, "a");
  const limitBytes = 2 ** 52; // more than any machine has
  for (const lengthBytes of [0, 1, 4096, 4097, 100_000]) {
    const bytes = randomBytes(lengthBytes);
    await writeFile(path, bytes);
    assert.ok((await readWhole(path, limitBytes)).equals(bytes), `${lengthBytes}`);
    // What does not say its size is read to its end, and no further than it may be.
    const script = `mkfifo "$1.$3" && { cat "$1" > "$1.$3" & } && exec "$2" -e '
      const { readWhole } = await import(process.argv[1]);
      process.stdout.write(await readWhole(process.argv[2], Number(process.argv[3])));
    ' "$4" "$1.$3" "$5"`;
    const read = (limit: number) => {
      const argv = ["-c", script, "sh", path, process.execPath, `${lengthBytes}-${limit}`, READ, String(limit)];
      return spawnSync("sh", argv);
    };
    assert.ok(read(Math.max(1, lengthBytes)).stdout.equals(bytes), `a pipe of ${lengthBytes}`);
    if (lengthBytes > 0) assert.match(read(lengthBytes - 1).stderr.toString(), /is larger than/);
  }
  assert.ok((await readWhole("/proc/self/environ", limitBytes)).length > 0);
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

test("a file that may be missing is read, or null; one that cannot be read is an error", async () => {
  const path = join(folder, "a");
  await writeFile(path, "0123456789");
  assert.equal((await nodeSystem.readFileIfPresent(path, 10))?.toString(), "0123456789");
  assert.equal(await nodeSystem.readFileIfPresent(join(folder, "none"), 10), null);
  assert.equal(await nodeSystem.readFileIfPresent(join(path, "beneath"), 10), null);
  await assert.rejects(nodeSystem.readFileIfPresent(path, 9), { code: "file/too-large" });
  await assert.rejects(nodeSystem.readFileIfPresent(folder, 9), { code: "file/io" });
});

test("a link is told from what it leads to, and followed to the end, as readlink(1) follows it", async () => {
  const at = (name: string) => join(folder, name);
  await writeFile(at("file"), "12345");
  await makeFolder(at("sub"), 0o700);
  await symlink("file", at("link"));
  await symlink(at("sub/../link"), at("twice"));
  await symlink("nowhere", at("broken"));
  await symlink("circle", at("circle"));
  const kinds = async (name: string) => [
    (await nodeSystem.stat(at(name)))?.kind ?? null,
    (await nodeSystem.lstat(at(name)))?.kind ?? null,
  ];
  assert.deepEqual(await kinds("file"), ["file", "file"]);
  assert.deepEqual(await kinds("link"), ["file", "link"]);
  assert.deepEqual(await kinds("broken"), [null, "link"]);
  assert.deepEqual(await kinds("none"), [null, null]);
  assert.equal((await nodeSystem.lstat(at("link")))?.sizeBytes, "file".length);
  assert.equal(await nodeSystem.realPath(at("twice")), join(await realpath(folder), "file"));
  for (const name of ["file", "link", "twice", "broken", "circle", "none", "file/beneath", "link/..", "sub/.."]) {
    const { status, stdout } = spawnSync("readlink", ["-e", "--", at(name)], { encoding: "utf8" });
    assert.equal(await nodeSystem.realPath(at(name)), status === 0 ? stdout.trimEnd() : null, name);
  }
});

test("free room is what stat(1) tells of a file system, and an error where nothing is", async () => {
  const { stdout } = spawnSync("stat", ["--file-system", "--format=%a %S %b", "/proc"], { encoding: "utf8" });
  const [free = 0, size = 0] = stdout.split(" ").map(Number);
  assert.equal(await nodeSystem.freeBytes("/proc"), free * size);
  const room = await nodeSystem.freeBytes(folder);
  assert.ok(Number.isSafeInteger(room) && room > 0);
  await assert.rejects(nodeSystem.freeBytes(join(folder, "none")), { code: "file/missing" });
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
