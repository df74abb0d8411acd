import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { command as bind } from "../../../src/cli/commands/bind/bind.ts";
import { command as status } from "../../../src/cli/commands/status.ts";
import { command as unbind } from "../../../src/cli/commands/unbind/unbind.ts";
import { command as unlock } from "../../../src/cli/commands/unlock.ts";
import { isError } from "../../../src/core/errors.ts";
import { nodeSystem } from "../../../src/system/node.ts";
import type { System } from "../../../src/system/port.ts";
import { COMMAND, folder, inviteAt, keyArgs, keyFile, makeImage, served } from "../../support/bind-bench.ts";
import { headerDigest, look, TestServer } from "../../support/luks-change.ts";
import { noTangd, startTangd, type Tangd } from "../../support/tangd.ts";
import { runCommand } from "../../support/terminal.ts";
import { addSlot, addToken, opens, PASSPHRASE, runTool } from "../../support/volumes.ts";

const server = served();
let tangd: Tangd | null = null;
before(async () => {
  if (noTangd === false) tangd = await startTangd();
});
after(async () => {
  await tangd?.[Symbol.asyncDispose]();
});

const invite = (name?: string) => inviteAt(server(), name);
const clevisPass = (image: string, slot: number) =>
  spawnSync("clevis", ["luks", "pass", "-d", image, "-s", String(slot)]);
const stocks = (image: string, slot: number) =>
  spawnSync("clevis", ["luks", "unlock", "-d", image, "-t", String(slot)], { encoding: "utf8" });

for (const type of ["luks2", "luks1"] as const) {
  test(`${type}: bound to a latch, it opens by our command and by stock clevis, until it is unbound`, async () => {
    const { image, state } = makeImage(type);
    const bound = await runCommand(bind, [image, "latch", await invite(), ...keyArgs(state)], nodeSystem);
    assert.equal(bound.status, 0);
    assert.equal(bound.result["outcome"], "bound");
    const binding = bound.result["binding"] as { urls: string[]; keyslots: number[] };
    assert.deepEqual(binding.keyslots, [1]);
    assert.match(binding.urls[0] ?? "", /^http:\/\/127\.0\.0\.1:\d+\/latch\/[\w-]{22}$/);

    const tested = await runCommand(unlock, [image, "--test"], nodeSystem);
    assert.equal(tested.status, 0);
    assert.deepEqual(tested.lines, [`opens  latch ${binding.urls[0]}, keyslot 1`]);
    const pass = clevisPass(image, 1);
    assert.equal(pass.status, 0, String(pass.stderr));
    assert.match(String(pass.stdout), /^[\w-]{54}$/);
    assert.ok(opens(image, pass.stdout, 1));
    assert.equal(stocks(image, 1).status, 0);

    // Again, with the same invite: nothing is added.
    const before = await headerDigest(image);
    const again = await runCommand(unlock, [image, "--test"], nodeSystem);
    assert.equal(again.status, 0);
    const twice = await runCommand(bind, [image, "latch", ...keyArgs(state)], nodeSystem);
    assert.equal(twice.result["outcome"], "bound-already");
    assert.equal(await headerDigest(image), before);

    // Another latch of the same server takes its place; the machine needs no invite any more.
    const replaced = await runCommand(bind, [image, "latch", "--replace", ...keyArgs(state)], nodeSystem);
    assert.equal(replaced.result["outcome"], "bound");
    assert.deepEqual(replaced.result["replaced"], [bound.result["binding"]]);
    assert.deepEqual(await look({ image, stateFolder: state, server: new TestServer() }), {
      slots: [0, 2],
      tokens: ["clevis 2"],
      files: [],
    });
    assert.ok(opens(image, PASSPHRASE) && !opens(image, pass.stdout));

    const removed = await runCommand(unbind, [image, ...keyArgs(state)], nodeSystem);
    assert.equal((removed.result["removed"] as unknown[]).length, 1);
    assert.deepEqual((await look({ image, stateFolder: state, server: new TestServer() })).slots, [0]);
    await assert.rejects(runCommand(unlock, [image, "--test"], nodeSystem), (error) =>
      isError(error, "luks/not-bound"),
    );
    assert.deepEqual(
      readdirSync(state).filter((name) => name.startsWith("pending-")),
      [],
    );
  });

  test(`${type}: what stock clevis bound to a real tangd opens, shows and can be unbound`, {
    skip: noTangd,
  }, async () => {
    const { image, state } = makeImage(type);
    const url = tangd?.url ?? "";
    const config = JSON.stringify({ url });
    const argv = ["clevis", "luks", "bind", "-y", "-f", "-k", keyFile, "-d", image, "tang", config];
    runTool(argv);
    const slot = (await look({ image, stateFolder: state, server: new TestServer() })).slots[1] ?? -1;
    const tested = await runCommand(unlock, [image, "--test"], nodeSystem);
    assert.deepEqual(tested.lines, [`opens  tang ${url}, keyslot ${slot}`]);
    const shown = await runCommand(status, [image, "--crypttab", "/nonexistent"], nodeSystem);
    assert.match(shown.lines.join("\n"), new RegExp(`binding +tang ${url}, keyslot ${slot}, token \\d: opens`));
    const removed = await runCommand(unbind, [image, "tang", "--slot", String(slot), ...keyArgs(state)], nodeSystem);
    assert.equal(removed.status, 0);
    assert.deepEqual((await look({ image, stateFolder: state, server: new TestServer() })).slots, [0]);
    assert.ok(opens(image, PASSPHRASE));
  });
}

test("an address with a password is neither asked nor written, and no message repeats it", async () => {
  const { image, state } = makeImage("luks2");
  const before = await headerDigest(image);
  for (const address of ["http://user:hunter2@127.0.0.1:1", "http://hunter2@127.0.0.1:1/"]) {
    await assert.rejects(runCommand(bind, [image, "tang", address, ...keyArgs(state)], nodeSystem), (error) => {
      assert.ok(isError(error, "usage/wrong"));
      assert.match(error.message, /with a user or password is not written into a header/);
      assert.doesNotMatch(JSON.stringify([error.message, error.meaning, error.remedy]), /hunter2/);
      return true;
    });
  }
  assert.equal(await headerDigest(image), before);
});

test("a tang is trusted by its thumbprint or by a person, never silently", { skip: noTangd }, async () => {
  const { image, state } = makeImage("luks2");
  const url = tangd?.url ?? "";
  const before = await headerDigest(image);
  const args = [image, "tang", url, ...keyArgs(state)];
  await assert.rejects(runCommand(bind, args, nodeSystem), (error) => {
    assert.ok(isError(error, "tang/untrusted"));
    assert.match(error.message, /^http:\/\/\S+ signs as [\w-]{43}, and nobody was asked to trust that$/);
    return true;
  });
  const wrong = [...args, "--thumbprint", "A".repeat(43)];
  await assert.rejects(runCommand(bind, wrong, nodeSystem), (error) => isError(error, "tang/untrusted"));
  await assert.rejects(runCommand(bind, args, nodeSystem, { agrees: false }), (error) =>
    isError(error, "usage/cancelled"),
  );
  assert.equal(await headerDigest(image), before);

  const asked = await runCommand(bind, args, nodeSystem, { agrees: true });
  const shown = asked.hints.find((hint) => /^ {2}[\w-]{43}$/.test(hint))?.trim() ?? "";
  assert.equal(
    runTool(["jose", "jwk", "thp", "-i", join(tangd?.keysFolder ?? "", `${shown}.jwk`), "-a", "S256"])
      .toString()
      .trim(),
    shown,
  );
  assert.equal(asked.result["outcome"], "bound");
  assert.equal(stocks(image, 1).status, 0);
  const again = await runCommand(bind, [...args, "--replace", "--thumbprint", shown], nodeSystem);
  assert.equal((again.result["replaced"] as unknown[]).length, 1);
});

test("tokens of others are shown and left alone; nonsense in a clevis token is told", async () => {
  const { image, state } = makeImage("luks2");
  addSlot(image, "second");
  addToken(image, { type: "luks2-keyring", keyslots: ["0"], key_description: "x" });
  addToken(image, { type: "systemd-recovery", keyslots: ["1"] });
  addToken(image, { type: "clevis", keyslots: ["1"], jwe: { protected: 7 } });
  addToken(image, { type: "clevis", keyslots: [] });
  const before = await headerDigest(image);
  const shown = await runCommand(status, [image, "--crypttab", "/nonexistent", "--state", state], nodeSystem);
  const text = shown.lines.join("\n");
  assert.match(text, /token {6}luks2-keyring, keyslot 0, token 0/);
  assert.match(text, /token {6}systemd-recovery, keyslot 1, token 1/);
  assert.match(
    text,
    /binding {4}damaged, keyslot 1, token 2: does not open now\n.*the token's JWE has no usable member protected \[jwe\/malformed\]/,
  );
  assert.match(text, /binding {4}damaged, no keyslot, token 3: does not open now/);
  const tested = await runCommand(unlock, [image, "--test"], nodeSystem);
  assert.equal(tested.status, 1);
  await assert.rejects(runCommand(unbind, [image, "tang", ...keyArgs(state)], nodeSystem), (error) => {
    assert.ok(isError(error, "luks/not-bound"));
    assert.equal(error.remedy, "It has: damaged, keyslot 1; damaged, no keyslot.");
    return true;
  });
  await assert.rejects(runCommand(unbind, [image, ...keyArgs(state)], nodeSystem), (error) =>
    isError(error, "usage/wrong"),
  );
  assert.equal(await headerDigest(image), before);
  const bound = await runCommand(bind, [image, "latch", await invite(), ...keyArgs(state)], nodeSystem);
  assert.equal(bound.result["outcome"], "bound");
  const removed = await runCommand(unbind, [image, "--token", "3", ...keyArgs(state)], nodeSystem);
  assert.equal(removed.status, 0);
  assert.deepEqual((await look({ image, stateFolder: state, server: new TestServer() })).tokens, [
    "luks2-keyring 0",
    "systemd-recovery 1",
    "clevis 1",
    "clevis 2",
  ]);
});

test("what a header says cannot disturb the terminal", async () => {
  const { image, state } = makeImage("luks2");
  addToken(image, { type: "x\u001b[2Jy\u202ez", keyslots: [] });
  runTool(["cryptsetup", "config", "--label", "\u001b]0;title\u0007", image]);
  const shown = await runCommand(status, [image, "--crypttab", "/nonexistent", "--state", state], nodeSystem);
  const text = shown.lines.join("\n");
  assert.match(text, /token {6}x\?\[2Jy\?z, no keyslot/);
  assert.match(text, /"\?\]0;title\?"/);
  assert.ok(!/[^\n -~]/.test(text), JSON.stringify(text));
});

test("the passphrase is typed once, and an empty one is refused", async () => {
  const { image, state } = makeImage("luks2");
  const args = [image, "latch", await invite(), "--state", state];
  await assert.rejects(runCommand(bind, args, nodeSystem, { passphrase: "" }), (error) =>
    isError(error, "usage/wrong"),
  );
  const bound = await runCommand(bind, args, nodeSystem, { passphrase: PASSPHRASE });
  assert.equal(bound.result["outcome"], "bound");
});

test("a locked machine's binding is told not to open, and so is the next boot", async () => {
  const { image, state } = makeImage("luks2");
  const name = "locked";
  await runCommand(bind, [image, "latch", await invite(name), ...keyArgs(state)], nodeSystem);
  const crypttab = join(folder, "crypttab");
  writeFileSync(crypttab, `backup ${image} /run/test.sock luks,_netdev,nofail\n`);
  const look = async () =>
    runCommand(status, ["--crypttab", crypttab, "--socket", "/run/test.sock", "--state", state], nodeSystem);
  assert.match((await look()).lines.join("\n"), /next boot {2}opens by itself: the agent asks http:\/\/127/);
  await server().json("machine", "lock", name);
  const locked = (await look()).lines.join("\n");
  assert.match(locked, /does not open now\n {13}127\.0\.0\.1:\d+ refuses to release the key \[pin\/locked\]/);
  assert.match(locked, /next boot {2}asks for the passphrase: no binding opens it now/);
  await server().json("machine", "unlock", name);
  assert.match((await look()).lines.join("\n"), /next boot {2}opens by itself/);
});

test("as processes: an invite on standard input, one JSON object on standard output", async () => {
  const { image, state } = makeImage("luks2");
  const argv = ["bind", image, "latch", "-", "--json", ...keyArgs(state)];
  const { status, stdout, stderr } = spawnSync(COMMAND, argv, { input: `${await invite()}\n`, encoding: "utf8" });
  assert.equal(status, 0, stderr);
  assert.equal(stdout.split("\n").length, 2);
  const result = JSON.parse(stdout) as { ok: boolean; binding: { kind: string } };
  assert.deepEqual([result.ok, result.binding.kind], [true, "latch"]);
  const both = spawnSync(COMMAND, ["bind", image, "latch", "-", "--key-file", "-"], { input: "x", encoding: "utf8" });
  assert.equal(both.status, 2);
  assert.match(both.stderr, /standard input cannot be both the invite and the passphrase \[usage\/wrong\]/);
  const failed = spawnSync(COMMAND, ["unlock", "/nonexistent", "--json"], { encoding: "utf8" });
  assert.equal(failed.status, 1);
  assert.deepEqual(JSON.parse(failed.stdout).error.code, "file/missing");
});

test("unlock opens a mapping with the slot that was proved, its key on stdin", async () => {
  const { image, state } = makeImage("luks2");
  await runCommand(bind, [image, "latch", await invite(), ...keyArgs(state)], nodeSystem);
  const opened: { argv: readonly string[]; key: Buffer }[] = [];
  // There may be no device mapper here: what would make the mapping is only looked at.
  const system: System = {
    ...nodeSystem,
    run: async (command) => {
      if (command.argv.includes("--test-passphrase")) return nodeSystem.run(command);
      opened.push({ argv: command.argv, key: Buffer.from(command.stdin ?? []) });
      return { status: 0, signal: null, stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) };
    },
  };
  const done = await runCommand(unlock, [image, "backup"], system);
  const [only, ...more] = opened;
  assert.deepEqual(more, []);
  assert.deepEqual(only?.argv, [
    ..."cryptsetup open --disable-external-tokens --token-type nightlatch-none --key-slot 1 --key-file -".split(" "),
    ...["--keyfile-size", "54", image, "backup"],
  ]);
  assert.ok(opens(image, only?.key ?? "", 1));
  assert.equal(done.result["name"], "backup");
});
