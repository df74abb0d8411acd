/**
 * Which keyslots a key is tried on, with real cryptsetup: each costs a KDF, and a passphrase's
 * takes seconds.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { isError } from "../../../src/core/errors.ts";
import { Secret } from "../../../src/core/secret.ts";
import { addKeyslot, findSlotOpenedBy } from "../../../src/luks/cryptsetup/keyslots.ts";
import { readVolumeHeader } from "../../../src/luks/header/header.ts";
import { keyslotHashOf } from "../../../src/luks/header/slots.ts";
import { nodeSystem } from "../../../src/system/node.ts";
import type { Exit, RunRequest } from "../../../src/system/port.ts";
import { addSlot, forge, makeFolder, makeVolume, opens, PASSPHRASE, runTool } from "../../support/volumes.ts";

const folder = makeFolder();
const SLOW = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "100000"];
const RANDOM_KEY = "what a binding or a remembered key is";
const secret = (text: string): Secret => Secret.copy(Buffer.from(text));

/** Passphrases in slots 0 and 1, a random key with its fast KDF in slot 2. */
function makeThree(type: "luks1" | "luks2"): string {
  const image = makeVolume(folder, `${type}.img`, type, SLOW);
  addSlot(image, "a second passphrase", SLOW);
  addSlot(image, RANDOM_KEY);
  return image;
}

/** Runs the real programs, and keeps what was run. */
function watched(change: (argv: RunRequest["argv"]) => RunRequest["argv"] = (argv) => argv) {
  const commands: string[] = [];
  const run = (command: RunRequest): Promise<Exit> => {
    commands.push(command.argv.join(" "));
    return nodeSystem.run({ ...command, argv: change(command.argv) });
  };
  return { commands, power: { run } };
}

const version = /^cryptsetup (\d+)\.(\d+)/.exec(String(runTool(["cryptsetup", "--version"])));
/** Debian 12's and 13's. */
const isKnown = version?.[1] === "2" && ["6", "7"].includes(String(version[2]));

/** Has cryptsetup say which keyslots it opens, each time that it does, with a KDF. */
function talkative() {
  const said: string[] = [];
  const run = async (command: RunRequest): Promise<Exit> => {
    const exit = await nodeSystem.run({ ...command, argv: [...command.argv, "--debug"] });
    said.push(exit.stdout.toString());
    return exit;
  };
  const lines = () => said.join("").matchAll(/^# Trying to open (?:LUKS2 keyslot|key slot) (\d+)/gm);
  return { power: { run }, opened: () => [...lines()].map(([, slot]) => Number(slot)) };
}

for (const type of ["luks1", "luks2"] as const) {
  test(`${type}: a random key costs no passphrase's KDF`, async () => {
    const image = makeThree(type);
    const volume = { device: image };
    const header = await readVolumeHeader(nodeSystem, image);
    const { commands, power } = watched();
    const tried = () => commands.splice(0).map((command) => Number(/--key-slot (\d+)/.exec(command)?.[1]));
    using key = secret(RANDOM_KEY);
    assert.equal(await findSlotOpenedBy(power, volume, header, key), 2);
    assert.deepEqual(tried(), [2]);
    using second = secret("a second passphrase");
    assert.equal(await findSlotOpenedBy(power, volume, header, second), 1);
    assert.deepEqual(tried(), [2, 0, 1]);
    assert.equal(await findSlotOpenedBy(power, volume, header, second, new Set([0, 2])), 1);
    assert.deepEqual(tried(), [1]);

    const added = { number: 5, iterations: 1500, hash: null, passphrase: secret("new") };
    await assert.rejects(addKeyslot(power, volume, added, { passphrase: key, slot: 0 }), (error) =>
      isError(error, "luks/wrong-passphrase"),
    );
    assert.equal(opens(image, "new"), false, "no slot but the one that is named is tried");
    const talking = talkative();
    await addKeyslot(talking.power, volume, added, { passphrase: key, slot: 2 });
    assert.equal(opens(image, "new", 5), true);
    if (isKnown) assert.deepEqual(talking.opened(), [2]);
  });
}

test("a cryptsetup that cannot be told which keyslot to unlock with adds one all the same", async () => {
  const image = makeVolume(folder, "old.img", "luks2");
  // What 2.5 and before say to an option that they do not know, this one says to one that nobody
  // knows.
  const { commands, power } = watched(
    (argv) => argv.map((word) => (word === "--new-key-slot" ? "--unheard-of" : word)) as unknown as RunRequest["argv"],
  );
  using current = secret(PASSPHRASE);
  const added = { number: 5, iterations: 1500, hash: null, passphrase: secret("new") };
  await addKeyslot(power, { device: image }, added, { passphrase: current, slot: 0 });
  assert.equal(commands.length, 2);
  assert.equal(opens(image, "new", 5), true);
  using wrong = secret("wrong");
  const again = { ...added, number: 6 };
  await assert.rejects(addKeyslot(power, { device: image }, again, { passphrase: wrong, slot: 0 }), (error) =>
    isError(error, "luks/wrong-passphrase"),
  );
});

for (const hash of ["sha1", "sha256", "sha512", "sha3-256"]) {
  test(`a volume of ${hash} gets a keyslot of ${hash}, which cryptsetup opens`, async () => {
    const image = makeVolume(folder, `${hash}.img`, "luks2", ["--hash", hash]);
    using current = secret(PASSPHRASE);
    const header = await readVolumeHeader(nodeSystem, image);
    const added = { number: 5, iterations: 1500, hash: keyslotHashOf(header), passphrase: secret("new") };
    await addKeyslot(nodeSystem, { device: image }, added, { passphrase: current, slot: 0 });
    const dump = JSON.parse(String(runTool(["cryptsetup", "luksDump", "--dump-json-metadata", image]))) as {
      keyslots: Record<string, { kdf: { hash: string }; af: { hash: string } }>;
    };
    assert.deepEqual([dump.keyslots["5"]?.kdf.hash, dump.keyslots["5"]?.af.hash], [hash, hash]);
    assert.equal(opens(image, "new", 5), true);

    const old = makeVolume(folder, `${hash}.luks1.img`, "luks1", ["--hash", hash]);
    assert.equal(keyslotHashOf(await readVolumeHeader(nodeSystem, old)), null);
    await addKeyslot(nodeSystem, { device: old }, { ...added, hash: null }, { passphrase: current, slot: 0 });
    assert.equal(opens(old, "new", 5), true);
  });
}

test("a header cannot make an option of its hash", async () => {
  const image = makeVolume(folder, "forged-hash.img", "luks2");
  for (const hash of ["--key-size", "a b", "", "x".repeat(40)]) {
    forge(image, (text) => text.replace(/("digests":.*"hash":)"[^"]*"/, (_, before: string) => `${before}"${hash}"`));
    assert.equal(keyslotHashOf(await readVolumeHeader(nodeSystem, image)), null, hash);
  }
});
