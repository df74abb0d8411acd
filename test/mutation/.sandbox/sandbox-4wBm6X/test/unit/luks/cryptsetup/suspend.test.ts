// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { isKeyless, whyKeyMayBeThere } from "../../../../src/luks/cryptsetup/suspend.ts";
import { fakeSystem } from "../../../support/fake-files.ts";

const ZEROS = "0".repeat(128);
const KEY = `${"0".repeat(127)}1`;
const table = (key: string) => `0 32768 crypt aes-xts-plain64 ${key} 0 254:16 32768\n`;
const VOLUME = { name: "data", uuid: "0d7c9b1e-53a1-4d0e-9b59-7a1d1b6d8e01" };

test("only zeros in place of the key are no key", () => {
  assert.ok(isKeyless(Buffer.from(table(ZEROS))));
  assert.ok(isKeyless(Buffer.from(`${table(ZEROS)}${table(ZEROS)}`)));
  for (const text of [
    "",
    "\n",
    table(KEY),
    table(":64:logon:cryptsetup:0d7c9b1e-53a1-4d0e-9b59-7a1d1b6d8e01-d0"),
    table("-"),
    table("0"),
    table(""),
    "0 32768 crypt aes-xts-plain64",
    "0 32768 linear 254:16 0\n",
    `${table(ZEROS)}0 32768 linear 254:16 0\n`,
    `${table(ZEROS)}${table(KEY)}`,
  ])
    assert.ok(!isKeyless(Buffer.from(text)), text);
});

test("no key passes for none, wherever its one digit is", () => {
  const nonZero = fc.tuple(fc.nat({ max: 127 }), fc.constantFrom(..."123456789abcdef"));
  fc.assert(
    fc.property(nonZero, ([at, digit]) => {
      assert.ok(!isKeyless(Buffer.from(table(`${ZEROS.slice(0, at)}${digit}${ZEROS.slice(at + 1)}`))));
    }),
  );
});

test("the key is gone where the kernel shows none, and no keyring has it", async () => {
  const keys = "0f2e I--Q--- 1 perm 3f030000 0 0 keyring _ses: 1\n";
  const held = `${keys}1a2b I--Q--- 1 perm 3f010000 0 0 logon cryptsetup:${VOLUME.uuid}-d0: 64\n`;
  const why = (text: string, status: number, rings: string) =>
    whyKeyMayBeThere(
      fakeSystem({ "/proc/keys": rings }, (argv) =>
        argv.join(" ") === "dmsetup table --showkeys data" ? { status, stdout: text } : undefined,
      ),
      VOLUME,
    );
  assert.equal(await why(table(ZEROS), 0, keys), null);
  assert.match(String(await why(table(KEY), 0, keys)), /still shows a key/);
  assert.match(String(await why(table(ZEROS), 1, keys)), /status 1/);
  assert.match(String(await why(table(ZEROS), 0, held)), /keyring/);
  assert.match(String(await whyKeyMayBeThere(fakeSystem({}), VOLUME)), /dmsetup could not be started/);
});

test("what dmsetup printed is wiped", async () => {
  const printed = Buffer.from(table(KEY));
  const run = async () => ({ status: 0, signal: null, stdout: printed, stderr: Buffer.alloc(0) });
  await whyKeyMayBeThere({ run, readFileIfPresent: async () => null }, VOLUME);
  assert.ok(printed.every((byte) => byte === 0));
});
