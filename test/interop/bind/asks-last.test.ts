/** A passphrase is asked for when nothing else can fail any more, and a person may mistype it. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { copyFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { Command } from "../../../src/cli/command.ts";
import { command as bind } from "../../../src/cli/commands/bind/bind.ts";
import { command as unbind } from "../../../src/cli/commands/unbind/unbind.ts";
import { type ErrorCode, isError } from "../../../src/core/errors.ts";
import { nodeSystem } from "../../../src/system/node.ts";
import { COMMAND, folder, inviteAt, keyArgs, makeImage, served } from "../../support/bind-bench.ts";
import { faultySystem, PowerCut } from "../../support/faults.ts";
import { headerDigest, look, makeState, TestServer } from "../../support/luks-change.ts";
import { noTangd, startTangd, type Tangd } from "../../support/tangd.ts";
import { runCommand } from "../../support/terminal.ts";
import { addSlot, addToken, opens, PASSPHRASE, runTool } from "../../support/volumes.ts";

const server = served();
const invite = () => inviteAt(server());
let tangd: Tangd | null = null;
before(async () => {
  if (noTangd === false) tangd = await startTangd();
});
after(async () => {
  await tangd?.[Symbol.asyncDispose]();
});

/** The command fails so, asks nobody for a passphrase or for trust, and changes nothing. */
async function failsUnasked(command: Command, args: readonly string[], code: ErrorCode): Promise<string> {
  const [image = ""] = args;
  const before = await headerDigest(image);
  let said = "";
  await assert.rejects(runCommand(command, args, nodeSystem), (error) => {
    assert.ok(isError(error, code), String(error));
    said = [error.message, error.meaning, error.remedy].join("\n");
    return true;
  });
  assert.equal(await headerDigest(image), before);
  return said;
}

const CLOSED = "http://127.0.0.1:1";

for (const type of ["luks2", "luks1"] as const) {
  test(`${type}: what needs no passphrase fails before one is asked for`, async () => {
    const { image, state } = makeImage(type);
    const at = ["--state", state];
    await failsUnasked(unbind, [image, ...at], "luks/not-bound");
    await failsUnasked(bind, [image, "latch", ...at], "machine/not-enrolled");
    await failsUnasked(bind, [image, "latch", `${await invite()}x`, ...at], "invite/malformed");
    await failsUnasked(bind, [image, "tang", CLOSED, ...at], "net/unreachable");

    // An invite that another machine has used.
    const used = await invite();
    const other = makeImage(type);
    await runCommand(bind, [other.image, "latch", used, ...keyArgs(other.state)], nodeSystem);
    await failsUnasked(bind, [image, "latch", used, ...at], "invite/used");

    // Bound, with nothing to ask: the server answers, and the keyslot is opened.
    await runCommand(bind, [image, "latch", await invite(), ...keyArgs(state)], nodeSystem);
    const bound = await headerDigest(image);
    const again = await runCommand(bind, [image, "latch", ...at], nodeSystem);
    assert.equal(again.result["outcome"], "bound-already");
    assert.equal(await headerDigest(image), bound);
    await failsUnasked(unbind, [image, "tang", ...at], "luks/not-bound");
    await failsUnasked(unbind, [image, "latch", CLOSED, ...at], "luks/not-bound");
    await failsUnasked(unbind, [image, "--slot", "7", ...at], "luks/not-bound");
    await failsUnasked(unbind, [image, "http//typo:7654", ...at], "luks/not-bound");
    await failsUnasked(unbind, [image, "ftp://typo", ...at], "usage/wrong");
  });

  test(`${type}: a server that has revoked the machine is asked before the person`, async () => {
    const { image, state } = makeImage(type);
    const machine = `revoked-${type}`;
    await runCommand(bind, [image, "latch", await inviteAt(server(), machine), ...keyArgs(state)], nodeSystem);
    await server().json("machine", "revoke", machine);
    await failsUnasked(unbind, [image, "--state", state], "luks/not-proved");
    await failsUnasked(bind, [image, "latch", "--state", state], "pin/revoked");
    await failsUnasked(bind, [image, "latch", "--replace", "--state", state], "luks/not-proved");
    const replace = [image, "latch", "--replace", "--slot", "1", "--state", state];
    await failsUnasked(bind, replace, "machine/revoked");
  });
}

test("a volume without room is found out before the invite is spent", async () => {
  const { image, state } = makeImage("luks1");
  for (let slot = 1; slot < 8; slot++) addSlot(image, `slot ${slot}`);
  const line = await invite();
  await failsUnasked(bind, [image, "latch", line, "--state", state], "luks/no-keyslot");
  const other = makeImage("luks2");
  const bound = await runCommand(bind, [other.image, "latch", line, ...keyArgs(other.state)], nodeSystem);
  assert.equal(bound.result["outcome"], "bound");
});

test("of several bindings it is asked which, not for a passphrase", async () => {
  const { image, state } = makeImage("luks2");
  addToken(image, { type: "clevis", keyslots: [] });
  addToken(image, { type: "clevis", keyslots: [] });
  await failsUnasked(unbind, [image, "--state", state], "usage/wrong");
});

test("a tang that is bound already needs neither trust nor passphrase", { skip: noTangd }, async () => {
  const { image, state } = makeImage("luks2");
  const url = tangd?.url ?? "";
  await runCommand(bind, [image, "tang", url, ...keyArgs(state)], nodeSystem, { agrees: true });
  const again = await runCommand(bind, [image, "tang", `${url}/`, "--state", state], nodeSystem);
  assert.equal(again.result["outcome"], "bound-already");
  const wrong = [image, "tang", url, "--thumbprint", "A".repeat(43), "--state", state];
  await failsUnasked(bind, wrong, "tang/untrusted");
  // Nobody is asked for a passphrase before the server was trusted.
  const fresh = makeImage("luks2");
  await assert.rejects(
    runCommand(bind, [fresh.image, "tang", url, "--state", fresh.state], nodeSystem, { agrees: false }),
    (error) => isError(error, "usage/cancelled"),
  );
});

test("a passphrase that is mistyped is asked for again, three times in all", async () => {
  const { image, state } = makeImage("luks2");
  const typed = ["wrong", "wrong again", PASSPHRASE];
  const line = await invite();
  const bound = await runCommand(bind, [image, "latch", line, "--state", state], nodeSystem, { passphrase: typed });
  assert.equal(bound.result["outcome"], "bound");
  assert.deepEqual(typed, []);
  assert.deepEqual(
    bound.hints.filter((hint) => /passphrase/.test(hint)),
    Array(2).fill("No keyslot opens with this passphrase. Try again."),
  );

  const before = await headerDigest(image);
  const wrong = ["a", "b", "c", PASSPHRASE];
  const hears = { lines: [], hints: [] as string[] };
  await assert.rejects(
    runCommand(unbind, [image, "--state", state], nodeSystem, { passphrase: wrong, hears }),
    (error) => isError(error, "luks/wrong-passphrase"),
  );
  assert.deepEqual(wrong, [PASSPHRASE]);
  assert.match(hears.hints[0] ?? "", /^To be removed from \S+: latch http:\/\/\S+, keyslot 1$/);
  assert.equal(await headerDigest(image), before);

  const removed = await runCommand(unbind, [image, "--state", state], nodeSystem, {
    passphrase: ["wrong", PASSPHRASE],
  });
  assert.equal((removed.result["removed"] as unknown[]).length, 1);
  assert.ok(opens(image, PASSPHRASE));
});

test("a key file that is wrong is read once", async () => {
  const { image, state } = makeImage("luks2");
  const wrong = join(folder, "wrong");
  writeFileSync(wrong, "wrong");
  const args = [image, "latch", await invite(), "--key-file", wrong, "--state", state];
  const hears = { lines: [], hints: [] as string[] };
  await assert.rejects(runCommand(bind, args, nodeSystem, { hears }), (error) =>
    isError(error, "luks/wrong-passphrase"),
  );
  assert.ok(!hears.hints.some((hint) => /Try again/.test(hint)));
  const { status, stderr } = spawnSync(COMMAND, ["bind", ...args.slice(0, 3), "--key-file", "-", "--state", state], {
    input: "wrong\nwrong\nwrong\n",
    encoding: "utf8",
  });
  assert.equal(status, 1);
  assert.equal(stderr.match(/passphrase opens no keyslot/g)?.length, 1, stderr);
  assert.doesNotMatch(stderr, /Try again/);
});

test("what a run left behind is settled with a passphrase, whatever the header shows", async () => {
  const { image, state } = makeImage("luks2");
  const line = await invite();
  const args = [image, "latch", line, ...keyArgs(state)];
  for (let at = 1; ; at++) {
    const system = faultySystem(nodeSystem, { at, when: "after" });
    await assert.rejects(runCommand(bind, args, system), PowerCut);
    const { tokens } = await look({ image, stateFolder: state, server: new TestServer() });
    if (tokens.includes("clevis 1")) break;
  }
  const again = [image, "latch", line, "--state", state];
  await assert.rejects(runCommand(bind, again, nodeSystem), /a passphrase was asked for/);
  await assert.rejects(runCommand(unbind, [image, "--state", state], nodeSystem), /a passphrase was asked for/);
  const done = await runCommand(bind, again, nodeSystem, { passphrase: [PASSPHRASE] });
  assert.deepEqual(done.result["settled"], [{ operation: "bind", outcome: "completed", orphans: [] }]);
});

test("what is bound and does not open says what to do, and that is what mends it", async () => {
  // A keyslot that was removed by hand: the token stays.
  const { image, state } = makeImage("luks2");
  const at = ["--state", state];
  await runCommand(bind, [image, "latch", await invite(), ...keyArgs(state)], nodeSystem);
  runTool(["cryptsetup", "luksKillSlot", "-q", image, "1"]);
  const bare = await failsUnasked(bind, [image, "latch", ...at], "luks/not-proved");
  const [, token = ""] = /nightlatch unbind \S+ --token (\d+), or pass --replace\./.exec(bare) ?? [];
  const copy = join(folder, "bare.img");
  copyFileSync(image, copy);
  const removed = await runCommand(unbind, [copy, "--token", token, ...keyArgs(state)], nodeSystem);
  assert.equal((removed.result["removed"] as unknown[]).length, 1);
  const bound = await runCommand(bind, [image, "latch", "--replace", ...keyArgs(state)], nodeSystem);
  assert.equal((bound.result["replaced"] as unknown[]).length, 1);

  // A server that holds back: no word of binding anew. One that has revoked: with the keyslot named
  // it is done.
  const second = makeImage("luks2");
  const machine = "held-back";
  const args = [second.image, "latch", "--state", second.state];
  await runCommand(
    bind,
    [second.image, "latch", await inviteAt(server(), machine), ...keyArgs(second.state)],
    nodeSystem,
  );
  await server().json("machine", "lock", machine);
  const locked = await failsUnasked(bind, args, "pin/locked");
  assert.doesNotMatch(locked, /anew|--replace/);
  await server().json("machine", "unlock", machine);
  await server().json("machine", "revoke", machine);
  const revoked = await failsUnasked(bind, args, "pin/revoked");
  const [remedy, slot = ""] = /the same with --replace --slot (\d+)/.exec(revoked) ?? [];
  assert.ok(remedy !== undefined, revoked);
  const anew = makeState(folder);
  const again = [second.image, "latch", await invite(), "--replace", "--slot", slot, ...keyArgs(anew)];
  assert.equal(((await runCommand(bind, again, nodeSystem)).result["replaced"] as unknown[]).length, 1);
});

test("a server that is away is no reason to bind anew", { skip: noTangd }, async () => {
  const { image, state } = makeImage("luks2");
  const away = await startTangd();
  const { url } = away;
  await runCommand(bind, [image, "tang", url, ...keyArgs(state)], nodeSystem, { agrees: true });
  await away[Symbol.asyncDispose]();
  const said = await failsUnasked(bind, [image, "tang", url, "--state", state], "net/unreachable");
  assert.match(said, /is bound already \(tang \S+, keyslot 1\), and does not open by it now/);
  assert.match(said, /The binding may well be in order\. Nothing was changed\./);
  assert.doesNotMatch(said, /anew|--replace/);
});

/**
 * Each gives the passphrase by another kind of file; cryptsetup takes all but a socket, which
 * cannot be opened by its name.
 */
const WAYS: Readonly<Record<string, string>> = {
  "process substitution": '"$@" --key-file <(printf "%s" "$PASS")',
  "/dev/stdin, a pipe": 'printf "%s" "$PASS" | "$@" --key-file /dev/stdin',
  "/dev/fd/0, a pipe": 'printf "%s" "$PASS" | "$@" --key-file /dev/fd/0',
  "/dev/stdin, a file": '"$@" --key-file /dev/stdin < <(printf "%s" "$PASS")',
  "a descriptor of the shell": 'exec 7< <(printf "%s" "$PASS"); "$@" --key-file /dev/fd/7',
  "a named pipe": 'mkfifo "$FIFO"; printf "%s" "$PASS" > "$FIFO" & "$@" --key-file "$FIFO"',
  "a pipe that is written slowly": '"$@" --key-file <(printf "%s" "$HEAD"; sleep 0.3; printf "%s" "$TAIL")',
};

test("--key-file takes what cryptsetup takes: pipes, named or not, and standard input", async () => {
  const { image, state } = makeImage("luks2");
  await runCommand(bind, [image, "latch", await invite(), ...keyArgs(state)], nodeSystem);
  let count = 0;
  for (const [what, line] of Object.entries(WAYS)) {
    const copy = join(folder, "piped.img");
    copyFileSync(image, copy);
    const sh = (argv: readonly string[]) => {
      const halves = { HEAD: PASSPHRASE.slice(0, 5), TAIL: PASSPHRASE.slice(5) };
      const env = { ...process.env, PASS: PASSPHRASE, ...halves, FIFO: join(folder, `fifo-${count++}`) };
      return spawnSync("bash", ["-c", line, "bash", ...argv], { env, encoding: "utf8" });
    };
    assert.equal(sh(["cryptsetup", "open", "--test-passphrase", copy]).status, 0, `cryptsetup: ${what}`);
    const done = sh([COMMAND, "unbind", copy, "--state", state]);
    assert.equal(done.status, 0, `${what}: ${done.stderr}`);
    assert.deepEqual((await look({ image: copy, stateFolder: state, server: new TestServer() })).slots, [0], what);
  }
  // Whatever a service manager or Node gives for standard input.
  const copy = join(folder, "socket.img");
  copyFileSync(image, copy);
  const argv = ["unbind", copy, "--state", state, "--key-file", "/dev/stdin"];
  const done = spawnSync(COMMAND, argv, { input: PASSPHRASE, encoding: "utf8" });
  assert.equal(done.status, 0, done.stderr);
});

test("a pipe that never ends is not read for ever", async () => {
  const { image, state } = makeImage("luks2");
  await runCommand(bind, [image, "latch", await invite(), ...keyArgs(state)], nodeSystem);
  const line = '"$@" --key-file <(yes)';
  const argv = [COMMAND, "unbind", image, "--state", state];
  const done = spawnSync("bash", ["-c", line, "bash", ...argv], { encoding: "utf8", timeout: 60_000 });
  assert.equal(done.status, 1);
  assert.match(done.stderr, /file\/too-large/);
});
