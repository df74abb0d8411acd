// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseKeySocketPeer } from "../../../../src/formats/systemd/key-socket.ts";

const parse = (name: string) => parseKeySocketPeer(Buffer.from(name));

test("systemd-cryptsetup's name tells the volume", () => {
  assert.deepEqual(parse("\x002f3a0/cryptsetup/volume1"), { kind: "cryptsetup", volume: "volume1" });
  assert.deepEqual(parse("\x00ffffffffffffffff/cryptsetup/luks-9f1c.ü @x"), {
    kind: "cryptsetup",
    volume: "luks-9f1c.ü @x",
  });
  assert.deepEqual(parse("\x000/cryptsetup-tpm2/v"), { kind: "cryptsetup-tpm2", volume: "v" });
});

test("every other name is refused", () => {
  for (const name of [
    "",
    "\0",
    "/run/some.sock",
    "2f3a/cryptsetup/v",
    "\0/cryptsetup/v",
    "\x00ABC/cryptsetup/v",
    "\x0012345678901234567/cryptsetup/v",
    "\x002f/cryptsetup/",
    "\x002f/cryptsetup/a/b",
    "\x002f/cryptsetup/..",
    "\x002f/cryptsetup/.",
    "\x002f/cryptsetup/v\0",
    "\x002f/cryptsetup",
    "\x002f/cryptsetup-/v",
    "\x002f/cryptsetup-TPM2/v",
    "\x002f/cryptsetups/v",
    "\x002f//cryptsetup/v",
    " \x002f/cryptsetup/v",
  ]) {
    assert.equal(parse(name), null, JSON.stringify(name));
  }
  assert.equal(parseKeySocketPeer(Buffer.from("\x002f/cryptsetup/v\xff", "latin1")), null, "not UTF-8");
});

test("any bytes: null or a file name", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 108 }), fc.boolean(), (bytes, prefixed) => {
      const parsed = parseKeySocketPeer(prefixed ? Buffer.concat([Buffer.from("\0a/cryptsetup/"), bytes]) : bytes);
      if (parsed !== null) assert.match(parsed.volume, /^[^/\0]+$/);
    }),
  );
});
