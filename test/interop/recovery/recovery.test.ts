/** Recovery keys, with the real cryptsetup and systemd-cryptenroll. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { command as add } from "../../../src/cli/commands/recovery/add.ts";
import { command as remove } from "../../../src/cli/commands/recovery/remove.ts";
import { command as testKey } from "../../../src/cli/commands/recovery/test.ts";
import type { ErrorCode } from "../../../src/core/errors.ts";
import { isError } from "../../../src/core/errors.ts";
import { nodeSystem } from "../../../src/system/node.ts";
import { faultySystem } from "../../support/faults.ts";
import { headerDigest, look, makeState, TestServer } from "../../support/luks-change.ts";
import { cryptenroll, enrolled, folder, keyOn, makeImage, writer } from "../../support/recovery-bench.ts";
import { runCommand } from "../../support/terminal.ts";
import { addSlot, addToken, forge, makeVolume, opens, PASSPHRASE, runTool } from "../../support/volumes.ts";

const lookAt = (image: string, stateFolder: string) => look({ image, stateFolder, server: new TestServer() });
const fails = (code: ErrorCode, message: RegExp) => (error: unknown) =>
  isError(error, code) && (message.test(error.message) || assert.fail(error.message));
const typing = (...passphrase: string[]) => ({ passphrase, agrees: true });

/** A volume with a recovery key of ours. */
async function withKey(): Promise<{ readonly image: string; readonly state: string; readonly key: string }> {
  const { image, state } = makeImage();
  const person = writer();
  await runCommand(add, [image, "--state", state], nodeSystem, person);
  return { image, state, key: person.keys[0] ?? "" };
}

test("a recovery key that is typed back gets a keyslot that systemd and cryptsetup take for one", async () => {
  const { image, state } = makeImage();
  const person = writer();
  const { status, lines, hints, result } = await runCommand(add, [image, "--state", state], nodeSystem, person);
  const [key = ""] = person.keys;
  assert.equal(status, 0);
  assert.deepEqual(lines, [`${image} has a recovery key now: keyslot 1, token 1. The keyslot was opened with it.`]);
  assert.equal(result["outcome"], "added");
  assert.deepEqual([result["keyslot"], result["token"], result["page"], result["confirmed"]], [1, 1, null, true]);
  assert.doesNotMatch(JSON.stringify([lines, hints, result]), new RegExp(key));
  assert.deepEqual(enrolled(image), ["0 password", "1 recovery", "2 password"]);
  assert.equal(
    runTool(["cryptsetup", "token", "export", "--token-id", "1", image]).toString(),
    '{"type":"systemd-recovery","keyslots":["1"]}',
  );
  assert.deepEqual(await lookAt(image, state), { slots: [0, 1, 2], tokens: ["systemd-recovery 1"], files: [] });
  for (const passphrase of [key, PASSPHRASE, "second"]) assert.ok(opens(image, passphrase));
  // What docs/format/recovery.md says of typing it.
  assert.ok(!opens(image, key.replaceAll("-", "")));
  assert.ok(!opens(image, key.toUpperCase()));
});

test("systemd-cryptenroll wipes our recovery key, its token and nothing else", async () => {
  const { image, key } = await withKey();
  cryptenroll(image, "--wipe-slot=recovery");
  assert.deepEqual(enrolled(image), ["0 password", "2 password"]);
  assert.ok(!opens(image, key) && opens(image, PASSPHRASE) && opens(image, "second"));
});

test("a recovery key of systemd-cryptenroll is tested as it is typed, and removed", async () => {
  const { image, state } = makeImage();
  const key = cryptenroll(image, "--recovery-key").trim();
  for (const typed of [key, key.replaceAll("-", ""), key.toUpperCase()]) {
    const { lines, result } = await runCommand(testKey, [image], nodeSystem, typing(typed));
    assert.deepEqual(lines, [`This recovery key opens ${image}: keyslot 1, token 0.`]);
    assert.deepEqual([result["keyslot"], result["token"]], [1, 0]);
  }
  const { lines } = await runCommand(remove, [image, "--state", state], nodeSystem, typing(PASSPHRASE));
  assert.deepEqual(lines, [`Removed from ${image}: recovery key, keyslot 1, token 0.`]);
  assert.deepEqual(enrolled(image), ["0 password", "2 password"]);
  assert.deepEqual(await lookAt(image, state), { slots: [0, 2], tokens: [], files: [] });
});

test("what does not open a recovery key's keyslot is refused; three tries for a person, one for a file", async () => {
  const { image, key } = await withKey();
  const wrong = `${key.slice(0, 70)}${key.endsWith("c") ? "b" : "c"}`;
  await assert.rejects(
    runCommand(testKey, [image], nodeSystem, typing(wrong, PASSPHRASE, "second", key)),
    fails("luks/wrong-passphrase", /That is no recovery key/),
  );
  const { hints } = await runCommand(testKey, [image], nodeSystem, typing("", wrong, key));
  assert.equal(hints.length, 2);
  const file = "/dev/shm/nightlatch-recovery-test";
  await nodeSystem.writeFile(file, Buffer.from(`${key}\n`), 0o600);
  try {
    assert.equal((await runCommand(testKey, [image, "--key-file", file], nodeSystem)).result["keyslot"], 1);
    await nodeSystem.writeFile(file, Buffer.from(`${wrong}\n`), 0o600);
    await assert.rejects(
      runCommand(testKey, [image, "--key-file", file], nodeSystem),
      fails("luks/wrong-passphrase", /It opens no keyslot of a recovery key\.$/),
    );
  } finally {
    await nodeSystem.removeFile(file);
  }
  const { image: none } = makeImage();
  await assert.rejects(runCommand(testKey, [none], nodeSystem), fails("luks/no-recovery", /has no recovery key$/));
});

test("a key that was written down wrongly is asked for again, and shown again on demand", async () => {
  const { image, state } = makeImage();
  const person = writer([
    (key) => `${key.slice(0, 9)}${key[9] === "c" ? "b" : "c"}${key.slice(10)}`,
    () => "no idea",
    () => "",
    (key) => key.replaceAll("-", "").toUpperCase(),
  ]);
  const { hints } = await runCommand(add, [image, "--state", state], nodeSystem, person);
  assert.deepEqual(hints, [
    "Not the same: look at group 2 of the eight.",
    "That is no recovery key: it has eight groups of eight letters, and dashes between all or none.",
  ]);
  assert.equal(person.keys.length, 2);
  assert.equal(new Set(person.keys).size, 1);
  assert.ok(opens(image, person.keys[0] ?? ""));
});

test("who never types it back has no keyslot: nothing is written before", async () => {
  const { image, state } = makeImage();
  const before = await headerDigest(image);
  const person = writer([]); // types nothing more, as one who leaves
  await assert.rejects(runCommand(add, [image, "--state", state], nodeSystem, person), {
    message: "a passphrase was asked for",
  });
  assert.equal(person.keys.length, 1);
  assert.equal(await headerDigest(image), before);
  assert.deepEqual(readdirSync(state), ["lock"]);
});

test("--no-confirm asks nothing back", async () => {
  const { image, state } = makeImage();
  const person = writer([]);
  const { lines, result } = await runCommand(add, [image, "--no-confirm", "--state", state], nodeSystem, person);
  assert.equal(lines[1], `To be sure of what you have of it: nightlatch recovery test ${image}`);
  assert.equal(result["confirmed"], false);
  assert.ok(opens(image, person.keys[0] ?? ""));
});

test("--page writes a page in memory that its owner alone can read, and no key anywhere else", async () => {
  const { image, state } = makeImage();
  const page = `/dev/shm/nightlatch-page-${process.pid}.html`;
  try {
    const args = [image, "--page", page, "--state", state];
    const { lines, hints, result } = await runCommand(add, args, nodeSystem, { passphrase: PASSPHRASE });
    const key = keyOn(readFileSync(page));
    assert.ok(opens(image, key, 1));
    assert.equal(statSync(page).mode & 0o777, 0o600);
    assert.equal(result["page"], page);
    assert.doesNotMatch(JSON.stringify([lines, hints, result]), new RegExp(key));
    await assert.rejects(
      runCommand(add, args, nodeSystem, { passphrase: PASSPHRASE }),
      fails("usage/wrong", /is there already$/),
    );
    assert.equal(keyOn(readFileSync(page)), key);
  } finally {
    await nodeSystem.removeFile(page);
  }
});

test("--print gives the key to standard output, alone on a line", async () => {
  const { image, state } = makeImage();
  const printed: Buffer[] = [];
  const takes = (bytes: Buffer) => printed.push(bytes);
  const { lines } = await runCommand(add, [image, "--print", "--state", state], nodeSystem, {
    passphrase: PASSPHRASE,
    takes,
  });
  assert.deepEqual(lines, []);
  const text = Buffer.concat(printed).toString();
  assert.match(text, /^(?:[a-z]{8}-){7}[a-z]{8}\n$/);
  assert.ok(opens(image, text.trimEnd(), 1));
});

test("a key has one place to go to, and without one nothing is asked", async () => {
  const { image, state } = makeImage();
  const before = await headerDigest(image);
  const refused = (code: ErrorCode, message: RegExp, ...args: string[]) =>
    assert.rejects(runCommand(add, [image, "--state", state, ...args], nodeSystem), fails(code, message));
  await refused("usage/no-terminal", /is to be shown, and there is no terminal$/);
  await refused("usage/wrong", /two places/, "--page", "/dev/shm/x.html", "--print");
  await refused("usage/wrong", /goes with the key on the screen/, "--print", "--no-confirm");
  assert.equal(await headerDigest(image), before);
  assert.deepEqual(readdirSync(state), []);
});

test("LUKS1 has no tokens: refused, with a way that works", async () => {
  const image = makeVolume(folder, "luks1.img", "luks1", [], 4);
  const person = writer();
  await assert.rejects(runCommand(add, [image, "--state", makeState(folder)], nodeSystem, person), (error) => {
    return (
      isError(error, "luks/unsupported") &&
      error.remedy === `Add a passphrase for the same purpose: cryptsetup luksAddKey ${image}`
    );
  });
  addSlot(image, "another"); // the remedy, by hand
  assert.ok(opens(image, "another"));
});

test("what was given of a key that got no keyslot is said to open nothing, and its page goes", async () => {
  const { image, state } = makeImage();
  const page = `/dev/shm/nightlatch-void-${process.pid}.html`;
  const broken = {
    ...nodeSystem,
    run: async (command: Parameters<typeof nodeSystem.run>[0]) =>
      command.argv[1] === "luksAddKey"
        ? { status: 1, signal: null, stdout: Buffer.alloc(0), stderr: Buffer.from("no.\n") }
        : nodeSystem.run(command),
  };
  const args = [image, "--page", page, "--state", state];
  await assert.rejects(runCommand(add, args, broken, { passphrase: PASSPHRASE }), (error) => {
    assert.ok(isError(error, "luks/refused"));
    assert.equal(
      error.meaning,
      "The recovery key was not made; the volume is as it was. What you have of the key opens nothing: destroy it.",
    );
    return true;
  });
  assert.ok(!existsSync(page));
  assert.deepEqual(await lookAt(image, state), { slots: [0, 2], tokens: [], files: [] });
});

test("of several recovery keys the one that is named goes; the others keep slot and token", async () => {
  const { image, state, key } = await withKey();
  const theirs = cryptenroll(image, "--recovery-key").trim();
  const person = writer();
  const { hints } = await runCommand(add, [image, "--state", state], nodeSystem, person);
  assert.deepEqual(hints, [
    `${image} has a recovery key already, in keyslot 3. It stays.`,
    `${image} has a recovery key already, in keyslot 1. It stays.`,
  ]);
  assert.deepEqual(enrolled(image), ["0 password", "1 recovery", "2 password", "3 recovery", "4 recovery"]);
  await assert.rejects(
    runCommand(remove, [image, "--state", state], nodeSystem, typing(PASSPHRASE)),
    fails("usage/wrong", /has 3 recovery keys$/),
  );
  await assert.rejects(
    runCommand(remove, [image, "--slot", "2", "--state", state], nodeSystem, typing(PASSPHRASE)),
    fails("luks/no-recovery", /has no recovery key in keyslot 2$/),
  );
  await runCommand(remove, [image, "--slot", "3", "--state", state], nodeSystem, typing(PASSPHRASE));
  assert.deepEqual(enrolled(image), ["0 password", "1 recovery", "2 password", "4 recovery"]);
  assert.ok(opens(image, key, 1) && opens(image, person.keys[0] ?? "", 4) && !opens(image, theirs));
  await runCommand(remove, [image, "--all", "--state", state], nodeSystem, typing(PASSPHRASE));
  assert.deepEqual(enrolled(image), ["0 password", "2 password"]);
});

test("a recovery key that is itself the authority, or the only way in, is not removed", async () => {
  const { image, state, key } = await withKey();
  await assert.rejects(
    runCommand(remove, [image, "--state", state], nodeSystem, typing(key)),
    fails("luks/last-way", /opens only keyslot 1, which is to be removed$/),
  );
  for (const slot of ["0", "2"]) runTool(["cryptsetup", "luksKillSlot", "-q", image, slot], key);
  await assert.rejects(
    runCommand(remove, [image, "--yes", "--state", state], nodeSystem, typing(key)),
    fails("luks/last-way", /no passphrase and no binding would be left$/),
  );
  assert.ok(opens(image, key));
});

test("who says no keeps the key", async () => {
  const { image, state, key } = await withKey();
  const args = [image, "--state", state];
  await assert.rejects(
    runCommand(remove, args, nodeSystem, { agrees: false }),
    fails("usage/cancelled", /^cancelled$/),
  );
  assert.ok(opens(image, key, 1));
});

test("a token that was edited to name the owner's keyslot removes nothing", async () => {
  const { image, state } = makeImage();
  const slow = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "5000", "--key-slot", "5"];
  runTool(["cryptsetup", "luksAddKey", "-q", ...slow, image], `${PASSPHRASE}\nowner`);
  addToken(image, { type: "systemd-recovery", keyslots: ["5"] });
  const before = await headerDigest(image);
  await assert.rejects(
    runCommand(remove, [image, "--yes", "--state", state], nodeSystem, typing(PASSPHRASE)),
    fails("luks/not-proved", /token 0 says that keyslot 5 is a recovery key's, and it does not look like one$/),
  );
  assert.equal(await headerDigest(image), before);
  runTool(["cryptsetup", "token", "remove", "--token-id", "0", image]); // the remedy
  assert.ok(opens(image, "owner", 5));
});

test("a stray token of the same kind, which names no keyslot, does not pass for ours", async () => {
  const { image, state } = makeImage();
  addToken(image, { type: "systemd-recovery", keyslots: [] });
  const person = writer();
  const { result } = await runCommand(add, [image, "--state", state], nodeSystem, person);
  assert.deepEqual([result["keyslot"], result["token"]], [1, 2]);
  assert.ok(opens(image, person.keys[0] ?? "", 1));
  // One that takes the number of a keyslot later is a second token of the same key.
  forge(image, (text) => text.replace('"keyslots":[]', '"keyslots":["1"]'));
  await runCommand(remove, [image, "--all", "--state", state], nodeSystem, typing(PASSPHRASE));
  assert.deepEqual((await lookAt(image, state)).tokens, []);
  assert.deepEqual(enrolled(image), ["0 password", "2 password"]);
});

test("no program is given the key but over standard input", async () => {
  const { image, state } = makeImage();
  const person = writer();
  const seen: string[] = [];
  const system = faultySystem(nodeSystem, { at: -1, when: "before" });
  const watching = {
    ...system,
    run: async (command: Parameters<typeof system.run>[0]) => {
      seen.push(JSON.stringify({ ...command, stdin: null, lock: null }));
      return system.run(command);
    },
    writeFile: async (path: string, bytes: Uint8Array, mode: number) => {
      seen.push(Buffer.from(bytes).toString("latin1"));
      return system.writeFile(path, bytes, mode);
    },
  };
  await runCommand(add, [image, "--state", state], watching, person);
  const [key = ""] = person.keys;
  assert.ok(seen.length > 8);
  for (const one of seen) assert.ok(!one.includes(key) && !one.includes(key.slice(0, 17)), one);
  assert.ok(!readFileSync(join(image)).includes(key));
});
