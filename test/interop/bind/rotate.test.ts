/** New keys for what is bound: a tang's rotation, another latch, shares; cut anywhere. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { copyFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { command as bind } from "../../../src/cli/commands/bind/bind.ts";
import { command as check } from "../../../src/cli/commands/check.ts";
import { command as rotate } from "../../../src/cli/commands/rotate/rotate.ts";
import { command as status } from "../../../src/cli/commands/status.ts";
import { command as unlock } from "../../../src/cli/commands/unlock.ts";
import { isError } from "../../../src/core/errors.ts";
import type { JsonObject } from "../../../src/formats/json/json.ts";
import { nodeSystem } from "../../../src/system/node.ts";
import { COMMAND, folder, inviteAt, keyArgs, keyFile, makeImage, SMALL, served } from "../../support/bind-bench.ts";
import { faultySystem } from "../../support/faults.ts";
import { headerDigest, look, makeState, TestServer } from "../../support/luks-change.ts";
import { noTangd, startTangd, type Tangd } from "../../support/tangd.ts";
import { runCommand } from "../../support/terminal.ts";
import { addSlot, makeVolume, opens, PASSPHRASE, runTool } from "../../support/volumes.ts";

const isFull = process.env["NIGHTLATCH_TEST_FULL"] === "1";
const skip = noTangd;
const server = served();
/** In the place of /etc/crypttab and /etc/fstab, which are this machine's. */
const NOWHERE = ["--crypttab", "/nonexistent", "--fstab", "/nonexistent"];
const at = (state: string) => [...keyArgs(state), ...NOWHERE];
const seen = (image: string, state: string) => look({ image, stateFolder: state, server: new TestServer() });
const opensNow = async (image: string) => (await runCommand(unlock, [image, "--test"], nodeSystem)).status === 0;

/** Hidden keys are those that were rotated. */
function removeHidden({ keysFolder }: Tangd, which: RegExp = /^\./): void {
  for (const name of readdirSync(keysFolder)) if (which.test(name)) rmSync(join(keysFolder, name));
}

for (const type of ["luks2", "luks1"] as const) {
  test(`${type}: a rotation at the server is told, followed, and told no more`, { skip }, async () => {
    await using tangd = await startTangd();
    const { image, state } = makeImage(type);
    const config = JSON.stringify({ url: tangd.url.replace("http://", "") });
    runTool(["clevis", "luks", "bind", "-y", "-f", "-k", keyFile, "-d", image, "tang", config]);
    const crypttab = join(folder, `${type}.crypttab`);
    writeFileSync(crypttab, `data ${image} none _netdev,nofail\n`);
    const files = ["--crypttab", crypttab, "--fstab", "/nonexistent", "--state", state];
    const rotatedNow = async () => {
      const shown = await runCommand(status, [image, ...files], nodeSystem);
      const [volume] = shown.result["volumes"] as { readonly bindings: { readonly rotated: JsonObject[] }[] }[];
      const found = (await runCommand(check, files, nodeSystem)).result["findings"] as Record<string, string>[];
      return {
        status: volume?.bindings.flatMap(({ rotated }) =>
          rotated.map(({ url, keys }) => [url, (keys as string[]).length]),
        ),
        line: shown.lines.find((line) => line.includes("no longer advertises"))?.trim(),
        remedies: found.filter(({ code }) => code === "check/rotated").map(({ remedy }) => remedy),
      };
    };
    assert.deepEqual(await rotatedNow(), { status: [], line: undefined, remedies: [] });
    tangd.rotate();
    // As `clevis luks report` has it: both the exchange key and the signing key.
    const { status: exit, stdout } = spawnSync("clevis", ["luks", "report", "-q", "-d", image, "-s", "1"], {
      encoding: "utf8",
    });
    assert.deepEqual([exit, stdout.match(/^ {2}[\w-]{43}$/gm)?.length], [1, 2]);
    assert.deepEqual(await rotatedNow(), {
      status: [[tangd.url, 2]],
      line: `${tangd.url} no longer advertises its keys. New ones: nightlatch rotate ${image}`,
      remedies: [`nightlatch rotate ${image}`],
    });

    const turned = await runCommand(rotate, [image, ...at(state)], nodeSystem);
    assert.equal(turned.status, 0);
    const [one] = turned.result["rotated"] as Record<string, unknown>[];
    assert.equal(one?.["removed"], true);
    assert.deepEqual(await seen(image, state), { slots: [0, 2], tokens: ["clevis 2"], files: [] });
    assert.deepEqual(await rotatedNow(), { status: [], line: undefined, remedies: [] });
    removeHidden(tangd);
    assert.ok(await opensNow(image));
    assert.equal(spawnSync("clevis", ["luks", "pass", "-d", image, "-s", "2"]).status, 0);
    assert.ok(opens(image, PASSPHRASE));
  });
}

test("a server that nobody vouches for any more is not followed without a person", { skip }, async () => {
  await using tangd = await startTangd();
  const { image, state } = makeImage("luks2");
  await runCommand(bind, [image, "tang", tangd.url, ...keyArgs(state)], nodeSystem, { agrees: true });
  tangd.rotate();
  // The key that signed is gone, and the one that releases is still there.
  const signing = readdirSync(tangd.keysFolder).filter((name) => {
    if (!name.startsWith(".")) return false;
    return (
      runTool(["jose", "fmt", "-j", join(tangd.keysFolder, name), "-Og", "alg", "-u-"])
        .toString()
        .trim() === "ES512"
    );
  });
  for (const name of signing) rmSync(join(tangd.keysFolder, name));
  const before = await headerDigest(image);
  const refused = await runCommand(rotate, [image, ...at(state)], nodeSystem);
  assert.equal(refused.status, 1);
  assert.deepEqual(
    (refused.result["failed"] as Record<string, string>[]).map(({ code }) => code),
    ["tang/untrusted"],
  );
  assert.equal(await headerDigest(image), before);
  assert.equal((await runCommand(rotate, [image, ...at(state)], nodeSystem, { agrees: true })).status, 0);
  removeHidden(tangd);
  assert.ok(await opensNow(image));
});

test("without its server a binding stays as it is, before a passphrase is asked for", { skip }, async () => {
  await using tangd = await startTangd();
  const { image, state } = makeImage("luks2");
  await runCommand(bind, [image, "tang", tangd.url, ...keyArgs(state)], nodeSystem, { agrees: true });
  const before = await headerDigest(image);
  tangd.rotate();
  removeHidden(tangd);
  const unasked = [image, "--state", state, ...NOWHERE];
  await assert.rejects(runCommand(rotate, unasked, nodeSystem), (error) => isError(error, "luks/not-proved"));
  const { image: bare } = makeImage("luks2");
  await assert.rejects(runCommand(rotate, [bare, "--state", state, ...NOWHERE], nodeSystem), {
    code: "luks/not-bound",
    message: `${bare} has no binding`,
  });
  assert.equal(await headerDigest(image), before);
});

test("a latch is another one afterwards, and the line that destroys the former does", async () => {
  const { image, state } = makeImage("luks2");
  const bound = await runCommand(bind, [image, "latch", await inviteAt(server()), ...keyArgs(state)], nodeSystem);
  const [former = ""] = (bound.result["binding"] as { readonly urls: string[] }).urls;
  const turned = await runCommand(rotate, [image, ...at(state)], nodeSystem);
  const [one] = turned.result["rotated"] as { readonly binding: { readonly urls: string[] } }[];
  assert.notEqual(one?.binding.urls[0], former);
  assert.deepEqual(
    readdirSync(state).filter((name) => name.startsWith("pending-")),
    [],
  );
  const [, words = ""] = /: nightlatch (machine revoke .*)$/.exec(turned.lines.at(-1) ?? "") ?? [];
  const [dashes, id] = [words.indexOf("--latch --"), words.split(" ").at(-1) ?? ""];
  assert.ok(dashes > 0 && former.endsWith(`/latch/${id}`));
  const argv = ["machine", "revoke", "--admin", server().admin, "--json", ...words.split(" ").slice(2)];
  const revoked = JSON.parse(spawnSync(COMMAND, argv, { encoding: "utf8" }).stdout);
  assert.equal(revoked["changed"], true);
  assert.ok(await opensNow(image));
});

test("shares get new keys together, nested ones too, and each server is followed", { skip }, async () => {
  await using one = await startTangd({ exchangeCurve: "P-256" });
  await using other = await startTangd({ exchangeCurve: "P-256" });
  // Rotated keys are of 521 bits, and the former token and the new one stand side by side.
  const image = makeVolume(folder, "roomy.img", "luks2", [...SMALL.luks2, "--luks2-metadata-size", "64k"], 4);
  const state = makeState(folder);
  const pin = ["sss", "2", "latch", await inviteAt(server()), "(", "sss", "2", "tang", one.url, "tang", other.url, ")"];
  await runCommand(bind, [image, ...pin, ...keyArgs(state)], nodeSystem, { agrees: true });
  for (const tangd of [one, other]) tangd.rotate();
  const turned = await runCommand(rotate, [image, ...at(state)], nodeSystem);
  assert.equal(turned.status, 0);
  for (const tangd of [one, other]) removeHidden(tangd);
  assert.ok(await opensNow(image));
  assert.equal((await seen(image, state)).tokens.length, 1);
});

test("of several bindings each is rotated by itself; without DEV all volumes of crypttab are", { skip }, async () => {
  await using tangd = await startTangd();
  await using gone = await startTangd();
  const { image: one, state } = makeImage("luks2");
  const { image: other } = makeImage("luks1");
  const { image: bare } = makeImage("luks2");
  await runCommand(bind, [one, other, "tang", tangd.url, ...keyArgs(state)], nodeSystem, { agrees: true });
  await runCommand(bind, [one, "tang", gone.url, ...keyArgs(state)], nodeSystem, { agrees: true });
  await gone[Symbol.asyncDispose]();
  const crypttab = join(folder, "several.crypttab");
  writeFileSync(crypttab, `one ${one} none _netdev\nother ${other} none _netdev\nbare ${bare} none\n`);
  const files = ["--crypttab", crypttab, "--fstab", "/nonexistent"];
  const turned = await runCommand(rotate, ["--state", state, ...files], nodeSystem, { passphrase: [PASSPHRASE] });
  assert.equal(turned.status, 1);
  const told = (turned.result["results"] as Record<string, unknown>[]).map((result) => {
    const failed = (result["failed"] as Record<string, unknown>[]).map(({ code }) => code);
    return [result["ok"], result["device"], (result["rotated"] as unknown[]).length, failed];
  });
  assert.deepEqual(told, [
    [false, one, 1, ["luks/not-proved"]],
    [true, other, 1, []],
  ]);
  assert.equal((await seen(one, state)).tokens.length, 2);
});

test("where an initramfs opens the volume both stay, and the line that is printed removes the former", {
  skip,
}, async () => {
  await using tangd = await startTangd();
  const { image, state } = makeImage("luks2");
  await runCommand(bind, [image, "tang", tangd.url, ...keyArgs(state)], nodeSystem, { agrees: true });
  const crypttab = join(folder, "early.crypttab");
  writeFileSync(crypttab, `root ${image} none initramfs\n`);
  const files = [...keyArgs(state), "--crypttab", crypttab, "--fstab", "/nonexistent"];
  tangd.rotate();
  const turned = await runCommand(rotate, [image, ...files], nodeSystem);
  const [one] = turned.result["rotated"] as Record<string, unknown>[];
  assert.equal(one?.["removed"], false);
  assert.deepEqual((await seen(image, state)).tokens, ["clevis 1", "clevis 2"]);
  await assert.rejects(runCommand(rotate, [image, ...files], nodeSystem), (error) => {
    assert.ok(isError(error, "usage/wrong"));
    return /two bindings/.test(error.message);
  });
  const [, words = ""] = /: nightlatch (rotate --finish .*)$/.exec(turned.lines.at(-1) ?? "") ?? [];
  await runCommand(rotate, [...words.split(" ").slice(1), ...files], nodeSystem);
  assert.deepEqual((await seen(image, state)).tokens, ["clevis 2"]);
  removeHidden(tangd);
  assert.ok(await opensNow(image));
});

const template = makeVolume(folder, "template.img", "luks2", SMALL.luks2, 4);
addSlot(template, "second", ["--key-slot", "2"]);

async function assertOpens(image: string, what: string): Promise<void> {
  for (const passphrase of [PASSPHRASE, "second"]) assert.ok(opens(image, passphrase), what);
  assert.ok(await opensNow(image), what);
}

/** Each a test of its own: one takes ten minutes on a machine with much else to do. */
for (const when of isFull ? (["before", "during", "after"] as const) : (["after"] as const)) {
  test(`the power goes ${when} each step of a rotation; it opens throughout, and the next completes it`, {
    skip,
  }, async () => {
    await using tangd = await startTangd();
    const bound = join(folder, `bound-${when}.img`);
    const boundState = makeState(folder);
    copyFileSync(template, bound);
    await runCommand(bind, [bound, "tang", tangd.url, ...keyArgs(boundState)], nodeSystem, { agrees: true });
    const before = await headerDigest(bound);
    for (let step = isFull ? 1 : 2; ; step += isFull ? 1 : 3) {
      const image = join(folder, `cut-${when}.img`);
      const state = makeState(folder);
      copyFileSync(bound, image);
      for (const name of readdirSync(boundState)) copyFileSync(join(boundState, name), join(state, name));
      const args = [image, ...at(state)];
      const system = faultySystem(nodeSystem, { at: step, when, delayMs: 40 });
      await runCommand(rotate, args, system).catch(() => null);
      const what = `cut ${when} step ${step}, ${system.steps.at(-1)}`;
      const isUntouched =
        (await headerDigest(image)) === before && readdirSync(state).length === readdirSync(boundState).length;
      if (isUntouched && system.wasCut) continue; // it is as it was before, of which all is known
      assert.ok(opens(image, PASSPHRASE) && (await opensNow(image)), what);
      if (!system.wasCut) {
        assert.ok(step > 12, `only ${step} steps`);
        assert.ok(opens(image, "second"), what);
        break;
      }
      // It proves what it leaves, by the server and the keyslot.
      assert.equal((await runCommand(rotate, args, nodeSystem)).status, 0, what);
      const { tokens, files, slots } = await seen(image, state);
      assert.deepEqual([tokens.length, files, slots.length], [1, [], 3], what);
    }
  });
}

test("a rotation is killed as a process, at any moment", { skip }, async () => {
  await using tangd = await startTangd();
  const image = join(folder, "killed.img");
  const state = makeState(folder);
  copyFileSync(template, image);
  await runCommand(bind, [image, "tang", tangd.url, ...keyArgs(state)], nodeSystem, { agrees: true });
  for (let round = 0; round < (isFull ? 30 : 3); round++) {
    const delayMs = 500 + Math.random() * 2500;
    const child = spawn(COMMAND, ["rotate", image, ...at(state)], { stdio: "ignore" });
    const timer = setTimeout(() => child.kill("SIGKILL"), delayMs);
    await new Promise((done) => child.on("exit", done));
    clearTimeout(timer);
    await assertOpens(image, `killed after ${delayMs} ms`);
  }
  assert.equal((await runCommand(rotate, [image, ...at(state)], nodeSystem)).status, 0);
  await assertOpens(image, "in the end");
  const { tokens, files, slots } = await seen(image, state);
  assert.deepEqual([tokens.length, files, slots.length], [1, [], 3]);
});
