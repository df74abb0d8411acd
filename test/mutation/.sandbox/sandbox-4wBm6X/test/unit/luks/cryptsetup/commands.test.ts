// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import { type ErrorCode, isError } from "../../../../src/core/errors.ts";
import { Secret } from "../../../../src/core/secret.ts";
import { findGap } from "../../../../src/formats/luks/luksmeta.ts";
import { backUpHeader } from "../../../../src/luks/change/backup.ts";
import { addKeyslot, killKeyslot, opensSlot, openVolume } from "../../../../src/luks/cryptsetup/keyslots.ts";
import { initLuksmeta, saveLuksmeta, wipeLuksmeta } from "../../../../src/luks/cryptsetup/luksmeta.ts";
import { makePassphrase } from "../../../../src/luks/cryptsetup/passphrase.ts";
import { importToken, removeToken } from "../../../../src/luks/cryptsetup/tokens.ts";
import type { Exit, RunRequest } from "../../../../src/system/port.ts";

/** Records what is run, stdin copied before its owner wipes it, and ends it as told. */
function recorder(exit: Partial<Exit> = {}) {
  const commands: { argv: readonly string[]; stdin: string | null }[] = [];
  const run = async (command: RunRequest): Promise<Exit> => {
    const stdin = command.stdin === undefined ? null : Buffer.from(command.stdin).toString("latin1");
    commands.push({ argv: command.argv, stdin });
    return { status: 0, signal: null, stdout: Buffer.alloc(0), stderr: Buffer.alloc(0), ...exit };
  };
  return { commands, power: { run, removeFile: async () => {} } };
}

const volume = { device: "/dev/vdb" };
const old = () => Secret.copy(Buffer.from("old\n\0key"));
const added = () => Secret.copy(Buffer.from("new key"));

test("key material goes over stdin alone, its size beside it", async () => {
  const { commands, power } = recorder();
  await opensSlot(power, volume, 3, old());
  const slot = { number: 5, iterations: 1234, hash: "sha512", passphrase: added() };
  await addKeyslot(power, volume, slot, { passphrase: old(), slot: 3 });
  await killKeyslot(power, volume, 5, old());
  await openVolume(power, volume, "backup", 3, old());
  assert.deepEqual(commands, [
    {
      argv: "cryptsetup open --test-passphrase --disable-external-tokens --token-type nightlatch-none --key-slot 3 --key-file - --keyfile-size 8 /dev/vdb".split(
        " ",
      ),
      stdin: "old\n\0key",
    },
    {
      argv: "cryptsetup luksAddKey -q --key-slot 3 --new-key-slot 5 --hash sha512 --pbkdf pbkdf2 --pbkdf-force-iterations 1234 --key-file /dev/stdin --keyfile-size 8 --new-keyfile-size 7 /dev/vdb /dev/fd/0".split(
        " ",
      ),
      stdin: "old\n\0keynew key",
    },
    { argv: "cryptsetup luksKillSlot -q --key-file - --keyfile-size 8 /dev/vdb 5".split(" "), stdin: "old\n\0key" },
    {
      argv: "cryptsetup open --disable-external-tokens --token-type nightlatch-none --key-slot 3 --key-file - --keyfile-size 8 /dev/vdb backup".split(
        " ",
      ),
      stdin: "old\n\0key",
    },
  ]);
});

test("a detached header is named beside its data", async () => {
  const { commands, power } = recorder();
  await openVolume(power, { device: "/dev/vdb", header: "/etc/h" }, "data", 3, old());
  assert.deepEqual(
    commands.map(({ argv }) => argv.join(" ")),
    [
      "cryptsetup open --disable-external-tokens --token-type nightlatch-none --header /etc/h --key-slot 3 --key-file - --keyfile-size 8 /dev/vdb data",
    ],
  );
});

test("tokens, backups and luksmeta", async () => {
  const { commands, power } = recorder();
  await importToken(power, volume, 2, { type: "clevis", keyslots: ["1"] });
  await removeToken(power, volume, 2);
  await backUpHeader(power, volume, "/state/header");
  await initLuksmeta(power, volume);
  await saveLuksmeta(power, volume, 1, Buffer.from("a.b.c.d.e"));
  await wipeLuksmeta(power, volume, 1);
  const uuid = "cb6e8904-81ff-40da-a84a-07ab9ab5715e";
  assert.deepEqual(
    commands.map(({ argv, stdin }) => [argv.join(" "), stdin]),
    [
      ["cryptsetup token import --token-id 2 --json-file - /dev/vdb", '{"type":"clevis","keyslots":["1"]}'],
      ["cryptsetup token remove --token-id 2 /dev/vdb", null],
      ["cryptsetup luksHeaderBackup -q --header-backup-file /state/header /dev/vdb", null],
      ["sync /state/header", null],
      ["luksmeta init -f -d /dev/vdb", null],
      [`luksmeta save -d /dev/vdb -s 1 -u ${uuid}`, "a.b.c.d.e"],
      [`luksmeta wipe -f -d /dev/vdb -s 1 -u ${uuid}`, null],
    ],
  );
});

test("every exit status of cryptsetup has a code of its own", async () => {
  const cases: readonly (readonly [Partial<Exit>, ErrorCode, string])[] = [
    [{ status: 1 }, "luks/refused", "/dev/vdb: cryptsetup refused: Keyslot 5 is not active"],
    [{ status: 2 }, "luks/wrong-passphrase", "/dev/vdb: the passphrase opens no keyslot"],
    [
      { status: 3 },
      "luks/no-memory",
      "/dev/vdb: cryptsetup ran out of memory, which an argon2 keyslot needs much of: Keyslot 5 is not active",
    ],
    [{ status: 4 }, "luks/no-device", "/dev/vdb: cryptsetup cannot use the device: Keyslot 5 is not active"],
    [{ status: 5 }, "luks/in-use", "/dev/vdb: the device or the name is in use: Keyslot 5 is not active"],
    [{ status: 77 }, "luks/refused", "/dev/vdb: cryptsetup ended with status 77: Keyslot 5 is not active"],
    [{ status: null, signal: "SIGKILL" }, "luks/tool-died", "/dev/vdb: cryptsetup was ended by SIGKILL"],
  ];
  for (const [exit, code, message] of cases) {
    const { power } = recorder({ stderr: Buffer.from("Keyslot 5 is not active.\nmore"), ...exit });
    await assert.rejects(killKeyslot(power, volume, 5, old()), (error) => {
      assert.ok(isError(error, code), String(error));
      assert.equal(error.message, message);
      return true;
    });
  }
});

test("a slot is opened, not opened, or it cannot be told", async () => {
  assert.equal(await opensSlot(recorder().power, volume, 0, old()), true);
  assert.equal(await opensSlot(recorder({ status: 2 }).power, volume, 0, old()), false);
  await assert.rejects(opensSlot(recorder({ status: 1 }).power, volume, 0, old()), (e) => isError(e, "luks/refused"));
});

test("what a program prints cannot disturb the terminal", async () => {
  const { power } = recorder({ status: 1, stderr: Buffer.from(`\x1b[2J${"x".repeat(500)}\x07`) });
  await assert.rejects(removeToken(power, volume, 0), (error) => {
    assert.ok(isError(error, "luks/refused"));
    assert.match(error.message, /^\/dev\/vdb: cryptsetup refused: \?\[2Jx{196}$/);
    return true;
  });
});

test("a backup that cannot be synced is no backup", async () => {
  const removed: string[] = [];
  const run = async (command: RunRequest): Promise<Exit> => ({
    status: command.argv[0] === "sync" ? 1 : 0,
    signal: null,
    stdout: Buffer.alloc(0),
    stderr: Buffer.alloc(0),
  });
  const power = { run, removeFile: async (path: string) => void removed.push(path) };
  await assert.rejects(backUpHeader(power, volume, "/state/header"), (error) => isError(error, "file/io"));
  assert.deepEqual(removed, ["/state/header"]);
});

test("luksmeta is not asked for more than its hole holds, nor for what it would write over", () => {
  const hole = { offsetBytes: 1 << 20, lengthBytes: 6 * 4096 };
  const entry = (page: number, lengthBytes: number) => ({ offsetBytes: (1 << 20) + page * 4096, lengthBytes });
  const gap = (entries: readonly ReturnType<typeof entry>[], lengthBytes: number) => {
    const found = findGap(hole, entries, lengthBytes);
    return typeof found === "string" ? found : (found.offsetBytes - hole.offsetBytes) / 4096;
  };
  assert.equal(gap([], 5 * 4096), 1);
  assert.equal(gap([], 5 * 4096 + 1), "full");
  assert.equal(gap([entry(1, 4097)], 3 * 4096), 3);
  assert.equal(gap([entry(1, 4097)], 3 * 4096 + 1), "full");
  assert.equal(gap([entry(2, 10), entry(4, 10)], 4097), "full");
  assert.equal(gap([entry(2, 10), entry(4, 10)], 4096), 1);
  assert.equal(gap([entry(1, 3 * 4096)], 4096), "taken"); // its second page begins and ends nothing
  assert.equal(gap([entry(1, 3 * 4096)], 2 * 4096), 4);
});

test("a keyslot's passphrase is base64url of the random bytes", () => {
  for (let round = 0; round < 50; round++) {
    const bytes = Buffer.from(Array.from({ length: 40 }, (_, at) => (at * 37 + round * 101) & 255));
    const wanted = bytes.toString("base64url");
    using passphrase = makePassphrase({ random: () => Buffer.from(bytes) });
    assert.equal(passphrase.reveal().toString("latin1"), wanted);
  }
});
