// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import { makeVolumeReader } from "../../../src/agent/volume-reader.ts";
import { NightlatchError } from "../../../src/core/errors.ts";
import type { Exit, RunRequest } from "../../../src/system/port.ts";
import { VirtualTime } from "../../support/virtual-time.ts";

const exit = (status: number, stdout = ""): Exit => ({
  status,
  signal: null,
  stdout: Buffer.from(stdout),
  stderr: Buffer.alloc(0),
});

/**
 * Reads of paths that begin with /dead never return until they are revived; the others take what
 * `takesMs` says.
 */
function world(takesMs: (path: string) => number = () => 1) {
  const time = new VirtualTime();
  const reads: string[] = [];
  const commands: RunRequest[] = [];
  const revive: (() => void)[] = [];
  const power = {
    ...time.power,
    readAt: async (path: string) => {
      reads.push(path);
      if (path.startsWith("/dead")) await new Promise<void>((resolve) => revive.push(resolve));
      else await time.power.sleep(takesMs(path));
      if (path === "/absent") throw new NightlatchError("file/missing", "absent");
      return Buffer.from(`here ${path}`);
    },
    run: async (command: RunRequest) => {
      commands.push(command);
      if (command.argv.includes("if=/dead2")) return new Promise<Exit>(() => {});
      if (command.argv.includes("if=/broken")) return exit(1);
      return exit(0, "beside");
    },
  };
  return { time, power, reads, commands, revive };
}

test("healthy disks are read one after the other, with no program", async () => {
  const { time, power, reads, commands } = world();
  const reader = makeVolumeReader(power);
  const paths = Array.from({ length: 20 }, (_, index) => `/disk${index}`);
  const all = await time.run(Promise.all(paths.map((path) => reader.readAt(path, 0, 512))));
  assert.deepEqual(
    all.map(String),
    paths.map((path) => `here ${path}`),
  );
  assert.deepEqual(reads, paths);
  assert.deepEqual(commands, []);
  assert.equal(time.nowMs, 20);
});

test("beside a read that is stuck others go by dd, which may be stuck too; as it returns they go as before", async () => {
  const { time, power, reads, commands, revive } = world();
  const pending: number[] = [];
  const reader = makeVolumeReader(power, () => pending.push(reader.pending()));
  const dead = reader.readAt("/dead1", 0, 512);
  void reader.readAt("/dead2", 0, 512);
  assert.equal(String(await time.run(reader.readAt("/good", 4096, 512))), "beside");
  assert.equal(time.nowMs, 250);
  assert.equal(String(await time.run(reader.readAt("/good", 0, 512))), "beside");
  assert.equal(time.nowMs, 250); // it is known by then
  assert.deepEqual(reads, ["/dead1"]);
  assert.deepEqual(commands[1], {
    argv: [
      "dd",
      "if=/good",
      "bs=64K",
      "skip=4096",
      "count=512",
      "iflag=skip_bytes,count_bytes,fullblock,nonblock",
      "status=none",
    ],
    timeoutMs: 600_000,
    outputLimitBytes: 512,
  });
  await assert.rejects(time.run(reader.readAt("/broken", 0, 1)), {
    code: "file/io",
    message: "/broken could not be read (dd ended with status 1)",
  });
  revive[0]?.();
  assert.equal(String(await time.run(dead)), "here /dead1");
  assert.equal(String(await time.run(reader.readAt("/good", 0, 512))), "here /good");
  assert.equal(reader.pending(), 1); // the second, for ever
  assert.equal(pending.at(-1), 1);
});

test("who asks again for what is stuck waits for the same read", async () => {
  const { time, power, reads, commands, revive } = world();
  const reader = makeVolumeReader(power);
  const asked = [1, 2, 3, 4].map(() => reader.readAt("/dead1", 0, 512));
  await time.run(time.power.sleep(1000));
  asked.push(reader.readAt("/dead1", 0, 512));
  await time.run(time.power.sleep(1000));
  assert.deepEqual(reads, ["/dead1"]);
  assert.deepEqual(commands, []);
  assert.equal(reader.pending(), 1);
  revive[0]?.();
  assert.deepEqual((await time.run(Promise.all(asked))).map(String), Array(5).fill("here /dead1"));
  assert.equal(reader.pending(), 0);
});

test("slow disks delay one that answers by no more than the patience", async () => {
  const { time, power } = world((path) => (path.startsWith("/slow") ? 200 : 1));
  const reader = makeVolumeReader(power);
  for (let index = 0; index < 10; index++) void reader.readAt(`/slow${index}`, 0, 512);
  await time.run(reader.readAt("/good", 0, 512));
  assert.equal(time.nowMs, 250);
});

test("a failure is told, and gives the turn on", async () => {
  const { time, power } = world();
  const reader = makeVolumeReader(power);
  await assert.rejects(time.run(reader.readAt("/absent", 0, 1)), { code: "file/missing" });
  assert.equal(String(await time.run(reader.readAt("/good", 0, 1))), "here /good");
});
