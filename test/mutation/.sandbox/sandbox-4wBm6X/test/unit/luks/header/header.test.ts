// @ts-nocheck
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { isError, NightlatchError } from "../../../../src/core/errors.ts";
import { parseLuks1 } from "../../../../src/formats/luks/luks1.ts";
import { peekLuks2, readLuks2Copy, verifyLuks2Copy } from "../../../../src/formats/luks/luks2.ts";
import { readLuks2Metadata } from "../../../../src/formats/luks/luks2-metadata.ts";
import { crc32c, findHole, parseLuksmeta } from "../../../../src/formats/luks/luksmeta.ts";
import { isNullCipher } from "../../../../src/luks/header/ciphers.ts";
import { readVolumeHeader } from "../../../../src/luks/header/header.ts";

const METADATA = {
  keyslots: {
    "0": {
      type: "luks2",
      key_size: 64,
      af: { type: "luks1", stripes: 4000, hash: "sha256" },
      area: { type: "raw", offset: "32768", size: "258048", encryption: "aes-xts-plain64", key_size: 64 },
      kdf: { type: "pbkdf2", hash: "sha256", iterations: 1000, salt: "AAAA" },
    },
  },
  tokens: { "0": { type: "other", keyslots: ["0"] } },
  segments: { "0": { type: "crypt", offset: "16777216", size: "dynamic", encryption: "aes-xts-plain64" } },
  digests: { "0": { type: "pbkdf2", keyslots: ["0"], segments: ["0"] } },
  config: { json_size: "12288", keyslots_size: "16744448" },
};

const parseLuks2Copy = (bytes: Buffer, offsetBytes: number) => readLuks2Copy(verifyLuks2Copy(bytes, offsetBytes));

/** One copy of a LUKS2 header, as cryptsetup lays it out. */
function makeCopy(json: string, offsetBytes = 0, seqid = 3n): Buffer {
  const copy = Buffer.alloc(0x4000);
  copy.write(offsetBytes === 0 ? "LUKS\xba\xbe" : "SKUL\xba\xbe", "latin1");
  copy.writeUInt16BE(2, 6);
  copy.writeBigUInt64BE(0x4000n, 8);
  copy.writeBigUInt64BE(seqid, 16);
  copy.write("sha256", 72);
  copy.write("ca47e32a-40f3-4cf5-a51d-f76da5ea00e3", 168);
  copy.writeBigUInt64BE(BigInt(offsetBytes), 256);
  copy.write(json, 4096);
  return sealCopy(copy);
}

function sealCopy(copy: Buffer): Buffer {
  copy.fill(0, 448, 512);
  createHash("sha256").update(copy).digest().copy(copy, 448);
  return copy;
}

const fails = (code: Parameters<typeof isError>[1], message: string) => (error: unknown) => {
  assert.ok(isError(error, code), String(error));
  assert.equal(error.message, message);
  return true;
};

test("a copy of a LUKS2 header is parsed", () => {
  const header = parseLuks2Copy(makeCopy(JSON.stringify(METADATA), 0x4000), 0x4000);
  assert.equal(header.uuid, "ca47e32a-40f3-4cf5-a51d-f76da5ea00e3");
  assert.equal(header.seqid, 3n);
  assert.equal(header.keyslots.get(0)?.kdf?.cost, 1000);
  assert.equal(header.segments.get(0)?.offsetBytes, 16777216);
});

test("a copy that is not whole, not where it belongs or not its own sum is damaged", () => {
  const json = JSON.stringify(METADATA);
  const good = makeCopy(json);
  const damage = (why: string) => fails("luks/damaged", `the LUKS2 header is damaged: ${why}`);
  assert.throws(() => parseLuks2Copy(good.subarray(0, 9000), 0), damage("it does not begin as one, or is cut short"));
  assert.throws(() => parseLuks2Copy(good, 0x4000), damage("it does not begin as one, or is cut short"));
  assert.throws(() => parseLuks2Copy(makeCopy(json, 0x8000), 0x8000), damage("it does not lie where its size puts it"));
  const moved = Buffer.from(good);
  moved.writeBigUInt64BE(4096n, 256);
  assert.throws(() => parseLuks2Copy(sealCopy(moved), 0), damage("it was written for another place"));
  const flipped = Buffer.from(good);
  flipped[0x3fff] = 1;
  assert.throws(() => parseLuks2Copy(flipped, 0), damage("its checksum does not match"));
  assert.throws(() => parseLuks2Copy(sealCopy(flipped), 0), damage("its JSON area holds data behind its end"));
  assert.throws(() => parseLuks2Copy(makeCopy(""), 0), damage("its JSON area is empty or has no end"));
  assert.throws(() => parseLuks2Copy(makeCopy(` ${json}`), 0), damage("its JSON area is empty or has no end"));
  assert.throws(() => parseLuks2Copy(makeCopy('{"a":1,"a":2}'), 0), damage("its metadata cannot be read"));
  const other = Buffer.from(good);
  other.write("sha512", 72);
  assert.throws(
    () => parseLuks2Copy(sealCopy(other), 0),
    fails("luks/unsupported", `the LUKS2 header's checksum is not sha256 but "sha512"`),
  );
});

test("metadata of the wrong form is damaged, and the message says where", () => {
  const broken: readonly (readonly [string, unknown])[] = [
    ["keyslots", { ...METADATA, keyslots: [] }],
    ["keyslots.32", { ...METADATA, keyslots: { "32": METADATA.keyslots["0"] } }],
    ["keyslots.01", { ...METADATA, keyslots: { "01": METADATA.keyslots["0"] } }],
    ["keyslots.0.priority", { ...METADATA, keyslots: { "0": { ...METADATA.keyslots["0"], priority: 3 } } }],
    ["tokens.0.type", { ...METADATA, tokens: { "0": { keyslots: [] } } }],
    ["tokens.0.keyslots", { ...METADATA, tokens: { "0": { type: "clevis", keyslots: [1] } } }],
    ["tokens.0.keyslots", { ...METADATA, tokens: { "0": { type: "clevis" } } }],
    ["segments.0.offset", { ...METADATA, segments: { "0": { type: "crypt", offset: "-1" } } }],
    ["segments.0.offset", { ...METADATA, segments: { "0": { type: "crypt", offset: "9999999999999999" } } }],
    ["digests", { ...METADATA, digests: null }],
    ["config", { ...METADATA, config: 1 }],
    ["requirements", { ...METADATA, config: { requirements: { mandatory: "x" } } }],
  ];
  for (const [path, json] of broken) {
    assert.throws(
      () => readLuks2Metadata(JSON.parse(JSON.stringify(json))),
      fails("luks/damaged", `the LUKS2 metadata is damaged: ${path} is missing or has the wrong form`),
    );
  }
});

/** Whatever the bytes: an answer, null, or one of our own errors. */
function assertTame(parse: () => unknown): void {
  try {
    parse();
  } catch (error) {
    assert.ok(error instanceof NightlatchError, String(error));
  }
}

/** A value with a few of its bytes replaced. */
const spoilt = (whole: Buffer) =>
  fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { maxLength: 8 }).map((edits) => {
    const copy = Buffer.from(whole);
    for (const [at, byte] of edits) copy[at] = byte;
    return copy;
  });

test("no bytes make a parser do anything but answer or refuse", async () => {
  const whole = makeCopy(JSON.stringify(METADATA));
  const luks1 = Buffer.concat([Buffer.from("LUKS\xba\xbe\x00\x01", "latin1"), Buffer.alloc(2000)]);
  luks1.writeUInt32BE(64, 108);
  for (let slot = 0; slot < 8; slot++) luks1.writeUInt32BE(0xdead, 208 + slot * 48);
  const table = Buffer.alloc(272);
  table.write("LUKSMETA");
  table.writeUInt32BE(1, 8);
  fc.assert(
    fc.property(spoilt(whole), spoilt(luks1), spoilt(table), fc.json(), (two, one, meta, json) => {
      assertTame(() => parseLuks2Copy(two, 0));
      assertTame(() => parseLuks2Copy(sealCopy(two), 0));
      assertTame(() => parseLuks2Copy(makeCopy(json), 0));
      assertTame(() => parseLuks1(one));
      meta.writeUInt32BE(0, 12);
      meta.writeUInt32BE(crc32c(meta), 12);
      assertTame(() => parseLuksmeta(meta, { offsetBytes: 4096, lengthBytes: 65536 }));
    }),
  );
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 2000 }), fc.constantFrom(0, 6, 8, 16), async (bytes, keep) => {
      const device = Buffer.concat([whole.subarray(0, keep), bytes]);
      const readAt = async (_: string, at: number, lengthBytes: number) =>
        Buffer.from(device.subarray(at, at + lengthBytes));
      await readVolumeHeader({ readAt }, "x").then(
        () => assert.fail("no header is that short"),
        (error) => assert.ok(error instanceof NightlatchError, String(error)),
      );
    }),
  );
});

test("a newer copy whose checksum is right and whose metadata is not is refused: cryptsetup may read it, the older must not speak for it", async () => {
  const good = makeCopy(JSON.stringify(METADATA), 0x4000, 3n);
  const text = JSON.stringify(METADATA);
  const twice = `${text.slice(0, -1)},"segments":${JSON.stringify(METADATA.segments)}}`;
  for (const [json, message] of [
    [twice, "x: the LUKS2 header is damaged: its metadata cannot be read"],
    ['{"keyslots":1}', "x: the LUKS2 metadata is damaged: config is missing or has the wrong form"],
  ] as const) {
    const device = Buffer.concat([makeCopy(json, 0, 4n), good]);
    const readAt = async (_: string, at: number, lengthBytes: number) => device.subarray(at, at + lengthBytes);
    await assert.rejects(readVolumeHeader({ readAt }, "x"), { code: "luks/damaged", message });
  }
});

test("sizes that no header has are not believed", () => {
  const copy = makeCopy(JSON.stringify(METADATA));
  for (const sizeBytes of [0n, 4096n, 0x4001n, 0x800000n, 0xffffffffffffffffn]) {
    copy.writeBigUInt64BE(sizeBytes, 8);
    assert.equal(peekLuks2(copy, 0), null);
  }
});

test("luksmeta's hole and checksum are computed as luksmeta does", () => {
  // RFC 3720's check value, and luksmeta's own test.
  assert.equal(crc32c(Buffer.from("123456789")), 0xe3069283);
  const slot = { active: false, iterations: 0, salt: Buffer.alloc(32), areaOffsetBytes: 4096, areaLengthBytes: 5000 };
  const header = {
    ...emptyLuks1(),
    payloadOffsetBytes: 20_480,
    keyslots: [slot],
    keyDigest: { iterations: 1, salt: slot.salt, digest: slot.salt },
  };
  assert.deepEqual(findHole(header), { offsetBytes: 12_288, lengthBytes: 8192 });
  assert.equal(findHole({ ...header, payloadOffsetBytes: 0 }), null);
  assert.equal(findHole({ ...header, payloadOffsetBytes: 12_288 }), null);
});

test("a luksmeta table that points out of its hole or fails its checksum is damaged", () => {
  const hole = { offsetBytes: 4096, lengthBytes: 8192 };
  const table = Buffer.alloc(272);
  table.write("LUKSMETA");
  table.writeUInt32BE(1, 8);
  table.fill(0xcb, 16 + 32, 16 + 48); // the entry of keyslot 1
  table.writeUInt32BE(4096, 16 + 48);
  table.writeUInt32BE(5000, 16 + 52);
  table.writeUInt32BE(crc32c(table), 12);
  const damage = (why: string) => fails("luks/damaged", `the volume's luksmeta area is damaged: ${why}`);
  assert.throws(() => parseLuksmeta(table, hole), damage("its entry for keyslot 1 points outside of it"));
  assert.equal(parseLuksmeta(table, { ...hole, lengthBytes: 12_288 })?.length, 1);
  assert.throws(() => parseLuksmeta(Buffer.from(table).fill(1, 20, 21), hole), damage("its checksum does not match"));
  assert.equal(parseLuksmeta(Buffer.alloc(272), hole), null);
});

test("a null cipher is known in every spelling", () => {
  for (const spelling of ["null", "null-ecb", "cipher_null-ecb", "capi:ecb(cipher_null)-plain"]) {
    assert.ok(isNullCipher(spelling), spelling);
  }
  for (const spelling of ["aes-xts-plain64", "aes-cbc-null", "capi:xts(aes)-plain64"]) {
    assert.ok(!isNullCipher(spelling), spelling);
  }
});

function emptyLuks1() {
  return {
    version: 1 as const,
    uuid: "",
    cipherName: "aes",
    cipherMode: "xts-plain64",
    hash: "sha256",
    keyBytes: 64,
    keyDigest: { iterations: 1000, salt: Buffer.alloc(32), digest: Buffer.alloc(20) },
    payloadOffsetBytes: 0,
    keyslots: [],
  };
}
