// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Terminal } from "../../../src/cli/command.ts";
import { describe, Narrator, narrate } from "../../../src/cli/narration.ts";
import { nodeSystem } from "../../../src/system/node.ts";
import type { Exit, System } from "../../../src/system/port.ts";

/** What a person sees when a tick comes each quarter of a second, while things begin and end. */
function watch(steps: readonly { readonly gapMs: number; readonly what: "begin" | "end" | "say" }[]) {
  const narrator = new Narrator(0);
  const ends: (() => void)[] = [];
  const seen: { readonly atMs: number; readonly text: string | null; readonly running: number }[] = [];
  let nowMs = 0;
  for (const { gapMs, what } of steps) {
    for (const until = nowMs + gapMs; nowMs + 250 <= until; ) {
      nowMs += 250;
      seen.push({ atMs: nowMs, text: narrator.tick(nowMs), running: ends.length });
    }
    if (what === "begin") ends.push(narrator.begin(`thing ${seen.length}`));
    if (what === "end") ends.pop()?.();
    if (what === "say") {
      narrator.said(nowMs);
      seen.push({ atMs: nowMs, text: "said", running: ends.length });
    }
  }
  return seen;
}

test("nobody waits longer than a second and a tick for the first word of what is being done", () => {
  const step = fc.record({
    gapMs: fc.integer({ min: 0, max: 4000 }),
    what: fc.constantFrom("begin" as const, "end" as const, "say" as const),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      let silentMs = 0;
      let hasTold = false;
      let lastMs = 0;
      for (const { atMs, text, running } of watch(steps)) {
        silentMs = running > 0 ? silentMs + (atMs - lastMs) : 0;
        lastMs = atMs;
        if (running === 0) hasTold = false;
        if (text !== null) {
          silentMs = 0;
          hasTold = text !== "said";
          assert.ok(running > 0 || text === "said", "nothing was being done");
        }
        assert.ok(hasTold || silentMs <= 1250, `silent for ${silentMs} ms`);
      }
    }),
  );
});

test("a row of short things is told of as well, and one thing is told of once", () => {
  const narrator = new Narrator(0);
  const told: (string | null)[] = [];
  for (let nowMs = 0; nowMs < 3000; nowMs += 500) {
    const end = narrator.begin(`keyslot ${nowMs / 500}`);
    told.push(narrator.tick(nowMs + 400));
    end();
  }
  assert.deepEqual(told, [null, null, "keyslot 2", null, "keyslot 4", null]);
  narrator.begin("a KDF");
  const rest = Array.from({ length: 100 }, (_, at) => narrator.tick(4000 + at * 1000));
  assert.deepEqual(
    rest.filter((text) => text !== null),
    ["a KDF"],
  );
});

test("a program, a server and a lock are waited for aloud, on stderr, with --json too", async (context) => {
  context.mock.timers.enable({ apis: ["setInterval"] });
  for (const json of [false, true]) {
    let nowMs = 0;
    const waits: (() => void)[] = [];
    const wait = () => new Promise<void>((done) => waits.push(done));
    const done: Exit = { status: 0, signal: null, stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) };
    const slow: System = {
      ...nodeSystem,
      monotonicMs: () => nowMs,
      run: () => wait().then(() => done),
      request: () => wait().then(() => ({ status: 200, contentType: "", body: Buffer.alloc(0) })),
      lock: () => wait().then(() => ({ descriptor: 0, [Symbol.asyncDispose]: async () => {} })),
    };
    const said: string[] = [];
    const results: unknown[] = [];
    const { system, terminal } = narrate(slow, {
      json,
      isInteractive: false,
      hint: (text) => said.push(text),
      line: (text) => said.push(`line ${text}`),
      result: (value) => results.push(value),
      signal: new AbortController().signal,
    } as Partial<Terminal> as Terminal);
    const argv = ["cryptsetup", "luksAddKey", "-q", "--key-file", "/dev/stdin", "/dev/vdb", "/dev/fd/0"] as const;
    const all = [
      () => system.run({ argv, timeoutMs: 1 }),
      () => system.request({ method: "GET", url: "http://me:secret@keys:7654/x", timeoutMs: 1, limitBytes: 1 }),
      () => system.lock("/state/lock", 1),
    ];
    const aloud = ["… adding a keyslot to /dev/vdb", "… asking keys:7654", "… waiting for another nightlatch to end"];
    for (const [index, begin] of all.entries()) {
      const ended = begin();
      for (let tick = 0; tick < 8; tick++) {
        nowMs += 250;
        context.mock.timers.tick(250);
      }
      waits.splice(0).forEach((end) => {
        end();
      });
      await ended;
      assert.deepEqual(said.splice(0), [aloud[index]]);
    }
    terminal.result({ ok: true });
    terminal.line("done");
    assert.deepEqual([said, results], [["line done"], [{ ok: true }]]);
  }
});

test("what is said of a program names nothing but its device", () => {
  const cases: readonly (readonly [string, string])[] = [
    ["cryptsetup open --test-passphrase --key-slot 3 --key-file - /dev/sda2", "trying a key on keyslot 3 of /dev/sda2"],
    ["cryptsetup open --key-slot 3 --key-file - /dev/sda2 home", "opening /dev/sda2"],
    ["cryptsetup luksKillSlot -q --key-file - /dev/sda2 1", "removing a keyslot from /dev/sda2"],
    ["cryptsetup luksHeaderBackup -q --header-backup-file /x /dev/sda2", "backing up the header of /dev/sda2"],
    ["cryptsetup token import --token-id 1 --json-file - v.img", "writing to the header of v.img"],
    ["cryptsetup config -q --key-slot 1 --priority prefer v.img", "writing to the header of v.img"],
    ["cryptsetup open --test-passphrase --disable-external-tokens --token-type x v", "trying a key on v"],
    ["kexec -s -l /boot/vmlinuz", "loading the kernel"],
    ["/usr/bin/systemctl --no-block start kexec.target", "waiting for systemd: systemctl start"],
    ["zstd -dc", "running zstd"],
  ];
  for (const [line, words] of cases) {
    assert.equal(describe({ argv: line.split(" ") as [string, ...string[]] }), words);
  }
  const hostile = describe({ argv: ["cryptsetup", "luksAddKey", "/dev/\u001b[2J"] });
  assert.equal(hostile, "adding a keyslot to /dev/?[2J");
});
