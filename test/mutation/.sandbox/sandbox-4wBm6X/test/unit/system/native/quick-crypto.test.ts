// @ts-nocheck
import assert from "node:assert/strict";
import * as whole from "node:crypto";
import { test } from "node:test";
import { openOpenssl } from "../../../../src/system/native/openssl.ts";
import * as quick from "../../../../src/system/native/quick-crypto.ts";

const CURVES = ["prime256v1", "secp384r1", "secp521r1"] as const;

test("this Node exports what it takes", () => {
  assert.notEqual(openOpenssl(), null);
});

test("its curves give what node:crypto gives", () => {
  for (const name of CURVES) {
    for (let trial = 0; trial < 8; trial++) {
      const [theirs, peer] = [whole.createECDH(name), whole.createECDH(name)];
      theirs.generateKeys();
      const point = peer.generateKeys();
      const ours = quick.createECDH(name);
      ours.setPrivateKey(theirs.getPrivateKey());
      assert.deepEqual(ours.getPublicKey(), theirs.getPublicKey());
      assert.deepEqual(ours.computeSecret(point), theirs.computeSecret(point));
      assert.deepEqual(ours.computeSecret(point), peer.computeSecret(theirs.getPublicKey()));
    }
  }
});

test("a point that is none is refused, and the next one is taken all the same", () => {
  for (const name of CURVES) {
    const peer = whole.createECDH(name);
    const point = peer.generateKeys();
    const ours = quick.createECDH(name);
    ours.setPrivateKey(Buffer.from(peer.getPrivateKey()));
    const off = Buffer.from(point);
    off[off.length - 1] = (off.at(-1) ?? 0) ^ 1;
    const large = Buffer.alloc(point.length, 0xff);
    large[0] = 4;
    const zero = Buffer.alloc(point.length);
    zero[0] = 4;
    const compressed = Buffer.from(peer.getPublicKey(undefined, "compressed"));
    for (const bad of [off, large, zero, compressed, Buffer.of(0), Buffer.alloc(0), point.subarray(1)]) {
      assert.throws(() => ours.computeSecret(bad), `${name} ${bad.toString("hex").slice(0, 20)}`);
    }
    assert.deepEqual(ours.computeSecret(point), peer.computeSecret(point));
    // What it left in OpenSSL's queue of errors would surface here.
    assert.equal(whole.createHash("sha256").update("x").digest().length, 32);
  }
});

test("a scalar outside the group is refused", () => {
  const order = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
  for (const bad of ["00".repeat(32), order, "ff".repeat(32), ""]) {
    assert.throws(() => quick.createECDH("prime256v1").setPrivateKey(Buffer.from(bad, "hex")), RangeError);
  }
  const one = quick.createECDH("prime256v1");
  one.setPrivateKey(Buffer.from(`${"00".repeat(31)}01`, "hex"));
  assert.match(one.getPublicKey().toString("hex"), /^046b17d1f2e12c4247/); // SP 800-186's base point
});

test("its SHA-256 is node:crypto's, of text and bytes, in one piece and in several; other digests are node:crypto's own", () => {
  for (const length of [0, 1, 55, 56, 64, 1000, 70_000]) {
    const bytes = whole.randomBytes(length);
    const expected = whole.createHash("sha256").update(bytes).digest();
    assert.deepEqual(quick.createHash("sha256").update(bytes).digest(), expected);
    const halves = quick.createHash("sha256").update(bytes.subarray(0, length >> 1));
    assert.equal(halves.update(bytes.subarray(length >> 1)).digest("base64url"), expected.toString("base64url"));
  }
  assert.equal(
    quick.createHash("sha256").update("é").digest("hex"),
    whole.createHash("sha256").update("é").digest("hex"),
  );
  assert.deepEqual(quick.createHash("sha1").update("x").digest(), whole.createHash("sha1").update("x").digest());
});

test("what is hashed is taken when it is given, and is not changed", () => {
  const bytes = Buffer.from("abc");
  const sum = quick.createHash("sha256").update(bytes);
  bytes.fill(0x7a);
  assert.deepEqual(sum.digest(), whole.createHash("sha256").update("abc").digest());
  assert.equal(bytes.toString(), "zzz");
  assert.throws(() => sum.digest(), /already/);
  assert.throws(() => sum.update("more"), /already/);
  assert.deepEqual(
    quick.createHash("sha256").update("00ff", "hex").digest(),
    whole.createHash("sha256").update("00ff", "hex").digest(),
  );
});

function seal(key: Buffer, iv: Buffer, header: Buffer, plain: Buffer): { sealed: Buffer; tag: Buffer } {
  const cipher = whole.createCipheriv("aes-256-gcm", key, iv);
  cipher.setAAD(header);
  const sealed = Buffer.concat([cipher.update(plain), cipher.final()]);
  return { sealed, tag: cipher.getAuthTag() };
}

test("its AES-256-GCM opens what node:crypto sealed, and nothing that was changed", () => {
  for (const length of [1, 16, 40, 5000]) {
    const [key, iv, header, plain] = [32, 12, 300, length].map((count) => whole.randomBytes(count)) as [
      Buffer,
      Buffer,
      Buffer,
      Buffer,
    ];
    const { sealed, tag } = seal(key, iv, header, plain);
    const open = (parts: { key?: Buffer; iv?: Buffer; header?: Buffer; sealed?: Buffer; tag?: Buffer } = {}) => {
      const decipher = quick.createDecipheriv("aes-256-gcm", parts.key ?? key, parts.iv ?? iv, { authTagLength: 16 });
      decipher.setAAD(parts.header ?? header);
      decipher.setAuthTag(parts.tag ?? tag);
      const opened = decipher.update(parts.sealed ?? sealed);
      return Buffer.concat([opened, decipher.final()]);
    };
    assert.deepEqual(open(), plain);
    for (const part of ["key", "iv", "header", "sealed", "tag"] as const) {
      const changed = Buffer.from({ key, iv, header, sealed, tag }[part]);
      changed[changed.length >> 1] = (changed[changed.length >> 1] ?? 0) ^ 0x10;
      assert.throws(() => open({ [part]: changed }), `${part} of ${length}`);
    }
    assert.throws(() => open({ tag: tag.subarray(0, 12) }), RangeError);
  }
});

test("a decipher without a tag opens nothing", () => {
  const decipher = quick.createDecipheriv("aes-256-gcm", Buffer.alloc(32), Buffer.alloc(12));
  decipher.update(Buffer.alloc(16));
  assert.throws(() => decipher.final());
});

test("comparing, and drawing", () => {
  assert.equal(quick.timingSafeEqual(Buffer.from("one"), Buffer.from("one")), true);
  assert.equal(quick.timingSafeEqual(Buffer.from("one"), Buffer.from("onf")), false);
  assert.throws(() => quick.timingSafeEqual(Buffer.from("one"), Buffer.from("on")), RangeError);
  for (const length of [1, 32, 256, 257]) {
    const drawn = quick.randomBytes(length);
    assert.equal(drawn.length, length);
    if (length >= 32) assert.ok(drawn.some((byte) => byte !== 0) && !drawn.equals(quick.randomBytes(length)));
  }
});
