/**
 * Latches that an operator has rotated: the machine follows by itself, and what it needs no more
 * ends at the server; where an initramfs opens the volume, once a boot has used the new binding.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { copyFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { command as bind } from "../../../src/cli/commands/bind/bind.ts";
import { command as check } from "../../../src/cli/commands/check.ts";
import { command as rotate } from "../../../src/cli/commands/rotate/rotate.ts";
import { command as status } from "../../../src/cli/commands/status.ts";
import { command as unbind } from "../../../src/cli/commands/unbind/unbind.ts";
import { command as unlock } from "../../../src/cli/commands/unlock.ts";
import { isError } from "../../../src/core/errors.ts";
import type { JsonObject } from "../../../src/formats/json/json.ts";
import { nodeSystem } from "../../../src/system/node.ts";
import type { System } from "../../../src/system/port.ts";
import { COMMAND, folder, inviteAt, keyArgs, makeImage, SMALL, served } from "../../support/bind-bench.ts";
import { faultySystem, listFaults } from "../../support/faults.ts";
import { look, makeState, TestServer } from "../../support/luks-change.ts";
import { noTangd, startTangd } from "../../support/tangd.ts";
import { runCommand } from "../../support/terminal.ts";
import { addSlot, makeVolume, opens, PASSPHRASE, runTool } from "../../support/volumes.ts";

const isFull = process.env["NIGHTLATCH_TEST_FULL"] === "1";
const server = served();
const seen = (image: string, state: string) => look({ image, stateFolder: state, server: new TestServer() });
const opensNow = async (image: string) => (await runCommand(unlock, [image, "--test"], nodeSystem)).status === 0;

let made = 0;

/** A volume that is bound to a latch of a machine of its own, and a crypttab that has it. */
async function boundVolume(type: "luks1" | "luks2", options: string) {
  const name = `turned-${made++}`;
  const { image, state } = makeImage(type);
  await runCommand(bind, [image, "latch", await inviteAt(server(), name), ...keyArgs(state)], nodeSystem);
  const crypttab = join(folder, `${name}.crypttab`);
  writeFileSync(crypttab, `data ${image} none ${options}\n`);
  const files = ["--crypttab", crypttab, "--fstab", "/nonexistent", "--state", state];
  return { name, image, state, files };
}

const turn = (name: string, ...options: string[]) => server().json("machine", "rotate", name, ...options);
const unattended = (files: readonly string[], system: System = nodeSystem) =>
  runCommand(rotate, ["--unattended", ...files], system);

async function latchOf(name: string): Promise<JsonObject> {
  const [latch] = (await server().json("machine", "show", name))["latches"] as JsonObject[];
  return latch ?? {};
}

for (const type of ["luks2", "luks1"] as const) {
  test(`${type}: what is rotated is told, followed without a person, and ended at the server`, async () => {
    const { name, image, state, files } = await boundVolume(type, "_netdev,nofail");
    const earlier = join(folder, `${name}.earlier`);
    copyFileSync(image, earlier);
    assert.deepEqual(
      [await unattended(files), await seen(image, state)].map((one) => "tokens" in one && one.tokens),
      [false, ["clevis 1"]],
    );
    await turn(name);
    assert.deepEqual([(await latchOf(name))["epoch"], (await latchOf(name))["former"]], [2, 1]);
    const found = (await runCommand(check, files, nodeSystem)).result["findings"] as Record<string, string>[];
    assert.deepEqual(
      found.filter(({ code }) => code === "check/rotated").map(({ remedy }) => remedy),
      [`nightlatch rotate ${image}`],
    );
    assert.ok(await opensNow(earlier));

    const { status: exit, result } = await unattended(files);
    assert.equal(exit, 0);
    assert.deepEqual(
      ["rotated", "removed", "kept", "ended", "failed"].map((member) => (result[member] as unknown[]).length),
      [1, 1, 0, 1, 0],
    );
    const { tokens, files: left } = await seen(image, state);
    assert.deepEqual([tokens, left], [["clevis 2"], []]);
    assert.deepEqual([(await latchOf(name))["epoch"], (await latchOf(name))["former"]], [2, null]);
    assert.ok((await opensNow(image)) && opens(image, PASSPHRASE));
    assert.equal(await opensNow(earlier), false, "what somebody has kept of the header opens nothing");
    assert.deepEqual(
      readdirSync(state).filter((file) => file.startsWith("rotation-")),
      [],
    );
    assert.equal((await turn(name, "--finish"))["changed"], false);
    const verified = await server().json("audit", "verify");
    assert.equal(verified["ok"], true);
  });
}

test("a person's rotate follows at once, and the server is told", async () => {
  const { name, image, state, files } = await boundVolume("luks2", "_netdev,nofail");
  const [url] = ((await runCommand(status, [image, ...files], nodeSystem)).result["volumes"] as JsonObject[]).flatMap(
    (volume) => (volume["bindings"] as JsonObject[]).flatMap((binding) => binding["urls"] as string[]),
  );
  await turn(name);
  const turned = await runCommand(rotate, [image, ...keyArgs(state), ...files.slice(0, 4)], nodeSystem);
  assert.equal(turned.status, 0);
  const [one] = turned.result["rotated"] as { readonly binding: { readonly urls: string[] } }[];
  assert.deepEqual(one?.binding.urls, [url], "it is the same latch");
  assert.equal((await latchOf(name))["former"], null);
});

/** This machine, as if it had booted anew, and its initramfs had been over `sinceMs` ago. */
function rebooted(sinceMs: number): System {
  const upMs = 3_600_000;
  const atStart = performance.now();
  return {
    ...nodeSystem,
    readFile: async (path, limit) => {
      if (path === "/proc/sys/kernel/random/boot_id") return Buffer.from("11111111-2222-4333-8444-555555555555\n");
      const now = (upMs + performance.now() - atStart) / 1000;
      return path === "/proc/uptime" ? Buffer.from(`${now.toFixed(2)} 1.00\n`) : nodeSystem.readFile(path, limit);
    },
    run: async (request) => {
      if (request.argv[0] !== "systemctl" || request.argv[1] !== "show") return nodeSystem.run(request);
      const told = `UserspaceTimestampMonotonic=${Math.round((upMs - sinceMs) * 1000)}\nSoftRebootsCount=0\n`;
      return { status: 0, signal: null, stdout: Buffer.from(told), stderr: Buffer.alloc(0) };
    },
  };
}

const whys = (result: Readonly<Record<string, unknown>>) =>
  (result["kept"] as JsonObject[]).map(({ why }) => String(why));

/** What clevis does in an initramfs. @returns the passphrase that it came to */
function openAsInitramfs(image: string): string {
  const script = '. clevis-luks-common-functions; clevis_luks_unlock_device "$1"';
  const { stdout, stderr } = spawnSync("bash", ["-c", script, "bash", image], { encoding: "utf8" });
  assert.match(stdout, /^[\w-]{54}$/, stderr);
  return stdout;
}

for (const type of ["luks2", "luks1"] as const)
  test(`${type}: a root keeps its former binding until the server knows of a boot by the new one`, async () => {
    const { name, image, state, files } = await boundVolume(type, "initramfs");
    await turn(name);
    assert.deepEqual(whys((await unattended(files)).result), ["the machine has not booted since"]);
    // The former one was moved behind, and clevis tries the new one first.
    assert.deepEqual((await seen(image, state)).tokens, ["clevis 2", "clevis 3"]);
    assert.equal((await latchOf(name))["former"], 1);
    const shown = (await runCommand(status, [image, ...files], nodeSystem)).result["volumes"] as JsonObject[];
    const volume = shown[0] ?? {};
    assert.match((volume["leftovers"] as string[]).join(), /keyslot 3 .* keyslot 2/);
    assert.deepEqual(
      (volume["bindings"] as JsonObject[]).flatMap(({ rotated }) => rotated as JsonObject[]),
      [],
    );

    // A boot, in which somebody typed the passphrase: the last releases are those of the status.
    assert.match(String(whys((await unattended(files, rebooted(3_000_000))).result)), /knows of no release/);
    assert.deepEqual((await seen(image, state)).tokens, ["clevis 2", "clevis 3"]);

    // A boot by the new binding.
    assert.ok(opens(image, openAsInitramfs(image), 2));
    const done = await unattended(files, rebooted(-1000));
    assert.deepEqual([done.status, (done.result["removed"] as unknown[]).length], [0, 1]);
    assert.deepEqual((await seen(image, state)).tokens, ["clevis 2"]);
    assert.equal((await latchOf(name))["former"], null);
    assert.ok((await opensNow(image)) && opens(image, PASSPHRASE));
  });

test("a former binding that cannot be moved behind the new one is told, and how it goes", async () => {
  const { name, image, state, files } = await boundVolume("luks1", "initramfs");
  await turn(name);
  // Of the eight keyslots those behind the next one's are taken.
  addSlot(image, PASSPHRASE, ["--key-slot", "3"]);
  for (const slot of [4, 5, 6, 7]) addSlot(image, `taken ${slot}`, ["--key-slot", String(slot)]);
  await unattended(files);
  // One in front is of no use.
  runTool(["cryptsetup", "luksKillSlot", "-q", image, "0"]);
  const { lines } = await unattended(files);
  assert.deepEqual((await seen(image, state)).tokens, ["clevis 1", "clevis 2"]);
  const [told = ""] = lines.filter((line) => line.startsWith("It cannot be moved behind"));
  assert.match(told, /all keyslots behind number 2 are taken/);
  const [, words = ""] = /: nightlatch (rotate --finish .*)$/.exec(told) ?? [];
  const finish = [...words.split(" ").slice(1), ...keyArgs(state), ...files.slice(0, 4)];
  assert.equal((await runCommand(rotate, finish, nodeSystem)).status, 0);
  assert.deepEqual((await seen(image, state)).tokens, ["clevis 2"]);
  assert.ok((await opensNow(image)) && opens(image, "taken 7"));
});

test("a root that is bound to shares: a boot tells of them where both bindings need the latch", {
  skip: noTangd,
}, async () => {
  await using tangd = await startTangd({ exchangeCurve: "P-256" });
  for (const threshold of ["2", "1"]) {
    const name = `shared-${made++}`;
    const image = makeVolume(folder, `${name}.img`, "luks2", [...SMALL.luks2, "--luks2-metadata-size", "64k"], 4);
    const state = makeState(folder);
    const pin = ["sss", threshold, "latch", await inviteAt(server(), name), "tang", tangd.url];
    await runCommand(bind, [image, ...pin, ...keyArgs(state)], nodeSystem, { agrees: true });
    const crypttab = join(folder, `${name}.crypttab`);
    writeFileSync(crypttab, `data ${image} none initramfs\n`);
    const files = ["--crypttab", crypttab, "--fstab", "/nonexistent", "--state", state];
    await turn(name);
    const first = await unattended(files);
    if (threshold === "1") {
      // The tang alone opens it: that the latch was released says nothing.
      assert.match(String(whys(first.result)), /only a latch of our own server that both of them need/);
      openAsInitramfs(image);
      assert.equal((await unattended(files, rebooted(-1000))).status, 0);
      assert.deepEqual((await seen(image, state)).tokens, ["clevis 1", "clevis 2"]);
      continue;
    }
    assert.deepEqual(whys(first.result), ["the machine has not booted since"]);
    assert.deepEqual((await seen(image, state)).tokens, ["clevis 2", "clevis 3"]);
    // With another binding there it is not told which of them has opened the volume.
    await runCommand(bind, [image, "tang", tangd.url, ...keyArgs(state)], nodeSystem, { agrees: true });
    openAsInitramfs(image);
    assert.match(String(whys((await unattended(files, rebooted(-1000))).result)), /has other bindings/);
    await runCommand(unbind, [image, "--slot", "1", ...keyArgs(state)], nodeSystem);
    openAsInitramfs(image);
    const done = await unattended(files, rebooted(-1000));
    assert.deepEqual([done.status, whys(done.result)], [0, []]);
    assert.deepEqual((await seen(image, state)).tokens, ["clevis 2"]);
    assert.equal((await latchOf(name))["former"], null);
    assert.ok(await opensNow(image));
  }
});

test("a person ends it without a boot; once an operator has, the line that is printed removes what opens nothing", async () => {
  const { name, image, state, files } = await boundVolume("luks2", "initramfs");
  await turn(name);
  const turned = await runCommand(rotate, [image, ...keyArgs(state), ...files.slice(0, 4)], nodeSystem);
  assert.deepEqual((await seen(image, state)).tokens, ["clevis 2", "clevis 3"]);
  assert.equal(turned.lines.at(-1)?.split(": ").at(-1), `nightlatch rotate --finish ${image}`);
  const finish = ["--finish", image, ...keyArgs(state), ...files.slice(0, 4)];
  const ended = await runCommand(rotate, finish, nodeSystem);
  assert.deepEqual([ended.status, (ended.result["removed"] as unknown[]).length], [0, 1]);
  assert.deepEqual((await seen(image, state)).tokens, ["clevis 2"]);
  assert.equal((await runCommand(rotate, finish, nodeSystem)).status, 0);

  await turn(name);
  await unattended(files);
  assert.equal((await turn(name, "--finish"))["changed"], true);
  assert.ok(await opensNow(image));
  await assert.rejects(runCommand(rotate, finish, nodeSystem), (error) => {
    assert.ok(isError(error, "luks/not-proved"));
    return /nightlatch unbind \S+ --slot \d+$/.test(error.remedy ?? "");
  });
});

test("without its record, or with its server away, nothing is changed and nothing is lost", async () => {
  const { name, image, state, files } = await boundVolume("luks2", "_netdev");
  await turn(name);
  const strange = makeState(folder);
  for (const file of readdirSync(state))
    if (!file.startsWith("volume-")) copyFileSync(join(state, file), join(strange, file));
  const elsewhere = [...files.slice(0, 4), "--state", strange];
  await assert.rejects(unattended(elsewhere), { code: "luks/not-recorded" });
  // One of which nothing was rotated is none of its business, on record or not.
  const { image: bare } = makeImage("luks2");
  const idle = await runCommand(rotate, [bare, "--unattended", "--state", strange, ...files.slice(0, 4)], nodeSystem);
  assert.deepEqual([idle.status, idle.result["failed"]], [0, []]);
  const offline: System = {
    ...nodeSystem,
    request: async () => {
      const { NightlatchError } = await import("../../../src/core/errors.ts");
      throw new NightlatchError("net/unreachable", "the network is away");
    },
  };
  assert.equal((await unattended(files, offline)).status, 0);
  assert.deepEqual((await seen(image, state)).tokens, ["clevis 1"]);
});

const waits = (result: Readonly<Record<string, unknown>>) =>
  (result["waiting"] as JsonObject[]).map(({ code }) => code);
/** The kinds of all entries of the server's log about a machine. */
const entriesOf = (name: string) =>
  runTool([COMMAND, "audit", "tail", "-n", "1000", "--machine", name, "--json", "--admin", server().admin])
    .toString()
    .trimEnd()
    .split("\n")
    .map((line) => (JSON.parse(line) as { kind: string }).kind);

test("under the policy lease it is followed in a window of its own, which is ended", async () => {
  const { name, image, state, files } = await boundVolume("luks2", "initramfs");
  await server().json("machine", "policy", name, "lease");
  await unattended(files);
  assert.ok(!entriesOf(name).includes("lease"), "where nothing was rotated no window is opened");
  await turn(name);
  const followed = await unattended(files);
  assert.deepEqual([followed.status, waits(followed.result)], [0, []]);
  assert.deepEqual((await seen(image, state)).tokens, ["clevis 2", "clevis 3"]);
  assert.equal(await opensNow(image), false, "the window is over");
  const before = entriesOf(name).filter((kind) => kind === "lease").length;
  assert.deepEqual(whys((await unattended(files)).result), ["the machine has not booted since"]);
  assert.equal(entriesOf(name).filter((kind) => kind === "lease").length, before, "nothing is to be released");

  // A boot, in the window that was opened for it.
  await server().json("machine", "lease", name, "15m", "--grace", "10m");
  openAsInitramfs(image);
  assert.equal((await unattended(files, rebooted(-1000))).status, 0);
  assert.deepEqual((await seen(image, state)).tokens, ["clevis 2"]);
  assert.equal((await latchOf(name))["former"], null);
});

test("where its server releases nothing it waits, asks no operator, and the run is no failure", async () => {
  const { name, image, state, files } = await boundVolume("luks2", "_netdev");
  await turn(name);
  await server().json("machine", "lock", name);
  const locked = await unattended(files);
  assert.deepEqual([locked.status, waits(locked.result)], [0, ["machine/locked"]]);
  await server().json("machine", "unlock", name);
  await server().json("machine", "policy", name, "approval");
  const unapproved = await unattended(files);
  assert.deepEqual([unapproved.status, waits(unapproved.result)], [0, ["lease/needs-approval"]]);
  assert.deepEqual((await server().json("request", "list"))["requests"], []);
  await server().json("machine", "policy", name, "lease");
  const goingDown: System = {
    ...nodeSystem,
    run: async (request) =>
      request.argv[1] === "list-jobs"
        ? { status: 0, signal: null, stdout: Buffer.from("12 reboot.target start waiting\n"), stderr: Buffer.alloc(0) }
        : nodeSystem.run(request),
  };
  const late = await unattended(files, goingDown);
  assert.deepEqual([late.status, waits(late.result)], [0, ["reboot/not-now"]]);
  assert.deepEqual((await seen(image, state)).tokens, ["clevis 1"]);
  assert.equal((await unattended(files)).status, 0);
  assert.deepEqual((await seen(image, state)).tokens, ["clevis 2"]);
});

test("a shutdown that begins meanwhile keeps the window that was announced for the boot", async () => {
  const { name, image, state, files } = await boundVolume("luks2", "_netdev");
  await server().json("machine", "policy", name, "lease");
  await turn(name);
  let isDown = false;
  const rebooting: System = {
    ...nodeSystem,
    run: async (request) => {
      if (request.argv[1] !== "list-jobs") return nodeSystem.run(request);
      const stdout = Buffer.from(isDown ? "12 reboot.target start waiting\n" : "");
      isDown = true;
      return { status: 0, signal: null, stdout, stderr: Buffer.alloc(0) };
    },
  };
  assert.equal((await unattended(files, rebooting)).status, 0);
  assert.deepEqual((await seen(image, state)).tokens, ["clevis 2"]);
  assert.ok(!entriesOf(name).includes("lease-end"));
});

/** A root on either kind of header, whose former stays behind the new one; and a volume of data. */
const CUT = [
  ["luks2", "initramfs"],
  ["luks1", "initramfs"],
  ["luks2", "_netdev"],
] as const;

for (const [type, options] of CUT) {
  const isEarly = options === "initramfs";
  test(`${type} ${options}: the power goes at each step of following; it opens throughout, and the next run completes it`, async () => {
    const early = await boundVolume(type, options);
    await turn(early.name);
    const whole = join(folder, `whole-${early.name}.img`);
    copyFileSync(early.image, whole);
    const known = readdirSync(early.state);
    const kept = makeState(folder);
    for (const file of known) copyFileSync(join(early.state, file), join(kept, file));
    /** Nothing of it ends at the server, so that it can be put back. */
    const putBack = () => {
      copyFileSync(whole, early.image);
      for (const file of readdirSync(early.state)) rmSync(join(early.state, file));
      for (const file of known) copyFileSync(join(kept, file), join(early.state, file));
      return early;
    };
    const another = async () => {
      const volume = await boundVolume(type, options);
      await turn(volume.name);
      return volume;
    };
    const run = (system: System) => unattended(early.files, system);
    const all = await listFaults(nodeSystem, [early.image, early.state], run);
    assert.ok(all.length > 15, all.map(({ step }) => step).join("\n"));
    // Of a volume of data the first was followed to its end, and its machine needs no other.
    const faults = isFull ? all : all.filter((_, index) => index % 8 === 5);
    for (const fault of faults) {
      const { name, image, state, files } = isEarly ? putBack() : await another();
      const system = faultySystem(nodeSystem, fault);
      await unattended(files, system).catch(() => null);
      const what = `cut ${fault.when} step ${fault.at}, ${fault.step}`;
      assert.ok(system.wasCut, what);
      assert.ok(opens(image, PASSPHRASE) && (await opensNow(image)), what);
      const after = await unattended(files);
      assert.equal(after.status, 0, `${what}: ${JSON.stringify(after.result)}`);
      const { tokens, files: left, slots } = await seen(image, state);
      const expected = isEarly ? ["clevis", "clevis"] : ["clevis"];
      assert.deepEqual([tokens.map((token) => token.split(" ")[0]), left], [expected, []], what);
      assert.equal(slots.length, expected.length + 1, what);
      assert.ok(!isEarly || !slots.includes(1), `the former was moved: ${what}`);
      assert.equal((await latchOf(name))["former"], isEarly ? 1 : null, what);
      assert.ok(await opensNow(image), what);
    }
  });
}
