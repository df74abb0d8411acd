/** One bind of several volumes: asked once, each told by itself. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { command as bind } from "../../../src/cli/commands/bind/bind.ts";
import { nodeSystem } from "../../../src/system/node.ts";
import { COMMAND, folder, inviteAt, keyArgs, makeImage, served } from "../../support/bind-bench.ts";
import { look, TestServer } from "../../support/luks-change.ts";
import { noTangd, startTangd } from "../../support/tangd.ts";
import { runCommand } from "../../support/terminal.ts";
import { addSlot, PASSPHRASE, runTool } from "../../support/volumes.ts";

const server = served();
const tokensOf = async (image: string, state: string) =>
  (await look({ image, stateFolder: state, server: new TestServer() })).tokens;
const outcomes = (result: Readonly<Record<string, unknown>>) =>
  (result["results"] as Record<string, unknown>[]).map(({ ok, device, outcome, error }) => {
    return [ok, device, outcome ?? (error as { readonly code: string }).code];
  });

test("volumes that share a passphrase are bound by one invite, and it is typed once", async () => {
  const { image: one, state } = makeImage("luks2");
  const { image: other } = makeImage("luks1");
  const args = [one, other, "latch", await inviteAt(server()), "--state", state];
  const bound = await runCommand(bind, args, nodeSystem, { passphrase: [PASSPHRASE] });
  assert.equal(bound.status, 0);
  assert.equal(bound.result["ok"], true);
  assert.deepEqual(outcomes(bound.result), [
    [true, one, "bound"],
    [true, other, "bound"],
  ]);
  for (const image of [one, other]) assert.deepEqual(await tokensOf(image, state), ["clevis 1"]);
});

test("a volume with another passphrase is asked for its own", async () => {
  const { image: one, state } = makeImage("luks2");
  const { image: other } = makeImage("luks2");
  addSlot(other, "its own", ["--key-slot", "3"]);
  runTool(["cryptsetup", "luksKillSlot", "-q", other, "0"], "its own");
  const args = [one, other, "latch", await inviteAt(server()), "--state", state];
  const typed = [PASSPHRASE, "mistyped", "its own"];
  const bound = await runCommand(bind, args, nodeSystem, { passphrase: typed });
  assert.equal(bound.status, 0);
  assert.deepEqual(typed, []);
  assert.equal(bound.hints.filter((hint) => hint.startsWith("No keyslot opens with this passphrase")).length, 1);
  assert.deepEqual(await tokensOf(other, state), ["clevis 0"]);
});

test("one that fails leaves the others bound, and the status says so", { skip: noTangd }, async () => {
  await using tangd = await startTangd();
  const { image: one, state } = makeImage("luks2");
  const { image: wrong } = makeImage("luks2");
  addSlot(wrong, "its own", ["--key-slot", "3"]);
  runTool(["cryptsetup", "luksKillSlot", "-q", wrong, "0"], "its own");
  const { image: last } = makeImage("luks2");
  const missing = join(folder, "missing.img");
  const args = [one, missing, wrong, last, "tang", tangd.url, ...keyArgs(state)];
  const bound = await runCommand(bind, args, nodeSystem, { agrees: true });
  assert.equal(bound.status, 1);
  assert.equal(bound.result["ok"], false);
  assert.deepEqual(outcomes(bound.result), [
    [true, one, "bound"],
    [false, missing, "file/missing"],
    [false, wrong, "luks/wrong-passphrase"],
    [true, last, "bound"],
  ]);
  assert.deepEqual(await tokensOf(wrong, state), []);
  // A person compares the server's key once.
  assert.equal(bound.hints.filter((hint) => hint.startsWith("Compare this")).length, 1);
});

test("the passphrase on standard input is read once, and serves all", { skip: noTangd }, async () => {
  await using tangd = await startTangd();
  const { image: one, state } = makeImage("luks2");
  const { image: other } = makeImage("luks2");
  const [key = ""] = spawnSync("tang-show-keys", [new URL(tangd.url).port], { encoding: "utf8" }).stdout.split("\n");
  const argv = ["bind", one, other, "tang", tangd.url, `thp=${key}`, "--key-file", "-", "--state", state, "--json"];
  const exit = spawnSync(COMMAND, argv, { input: PASSPHRASE, encoding: "utf8" });
  assert.equal(exit.status, 0, exit.stderr);
  assert.deepEqual(outcomes(JSON.parse(exit.stdout)), [
    [true, one, "bound"],
    [true, other, "bound"],
  ]);
});

test("what fails before any volume is begun, or concerns one alone, is no list", async () => {
  const { image: one, state } = makeImage("luks2");
  const { image: other } = makeImage("luks2");
  const slots = [one, other, "latch", "--replace", "--slot", "1", ...keyArgs(state)];
  await assert.rejects(runCommand(bind, slots, nodeSystem), { message: /--slot goes with one volume alone/ });
  await assert.rejects(runCommand(bind, [one, one, "latch", ...keyArgs(state)], nodeSystem), { code: "usage/wrong" });
  const missing = join(folder, "nowhere.img");
  await assert.rejects(runCommand(bind, [missing, "latch", ...keyArgs(state)], nodeSystem), { code: "file/missing" });
});
