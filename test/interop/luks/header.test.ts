import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { copyFileSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { isError } from "../../../src/core/errors.ts";
import { type Luks1Volume, type Luks2Volume, readVolumeHeader } from "../../../src/luks/header/header.ts";
import { typedSlots } from "../../../src/luks/header/typed.ts";
import { readRange } from "../../../src/system/read.ts";
import { addSlot, addToken, forge, makeFolder, makeVolume, PASSPHRASE, patch, runTool } from "../../support/volumes.ts";

const folder = makeFolder();
const power = { readAt: readRange };

interface Dump {
  keyslots: Record<string, Record<string, Record<string, unknown> & string>>;
  tokens: Record<string, Record<string, unknown>>;
  segments: Record<string, Record<string, unknown>>;
  digests: Record<string, Record<string, unknown>>;
}

const dump = (image: string): Dump =>
  JSON.parse(String(runTool(["cryptsetup", "luksDump", "--dump-json-metadata", image]))) as Dump;

async function readLuks2(image: string): Promise<Luks2Volume> {
  const header = await readVolumeHeader(power, image);
  assert.equal(header.version, 2);
  return header as Luks2Volume;
}

/** Everything that cryptsetup prints of what we parse. */
function assertSame(header: Luks2Volume, image: string): void {
  const wanted = dump(image);
  assert.deepEqual([...header.keyslots.keys()].map(String), Object.keys(wanted.keyslots));
  for (const [number, slot] of header.keyslots) {
    const other = wanted.keyslots[number] ?? {};
    const kdf = other["kdf"] as Record<string, unknown>;
    assert.equal(slot.type, other["type"]);
    assert.equal(slot.priority, other["priority"] ?? 1);
    assert.equal(slot.keyBytes, other["key_size"]);
    assert.deepEqual(slot.kdf, { type: kdf["type"], cost: kdf["iterations"] ?? kdf["time"], saltBase64: kdf["salt"] });
    const area = other["area"] as Record<string, unknown>;
    assert.deepEqual(slot.area, {
      offsetBytes: Number(area["offset"]),
      lengthBytes: Number(area["size"]),
      encryption: area["encryption"],
    });
  }
  assert.deepEqual(JSON.parse(JSON.stringify(Object.fromEntries(header.tokens))), wanted.tokens);
  for (const [number, segment] of header.segments) {
    const other = wanted.segments[number] ?? {};
    assert.equal(segment.encryption, other["encryption"]);
    assert.equal(segment.offsetBytes, Number(other["offset"]));
    assert.equal(segment.integrity, (other["integrity"] as Record<string, unknown> | undefined)?.["type"] ?? null);
  }
  assert.equal(header.segments.size, Object.keys(wanted.segments).length);
  assert.deepEqual(
    [...header.digests.values()].map((digest) => digest.keyslots.map(String)),
    Object.values(wanted.digests).map((digest) => digest["keyslots"]),
  );
  assert.equal(header.uuid, String(runTool(["cryptsetup", "luksUUID", image])).trim());
  assert.equal(header.damagedCopy, null);
}

const SHAPES: readonly (readonly [string, readonly string[]])[] = [
  ["defaults", []],
  ["label and subsystem", ["--label", "backup disk", "--subsystem", "nightlatch"]],
  ["32 KiB of metadata", ["--luks2-metadata-size", "32k"]],
  ["4 MiB of metadata", ["--luks2-metadata-size", "4096k", "--luks2-keyslots-size", "2m"]],
  [
    "argon2id",
    ["--pbkdf", "argon2id", "--pbkdf-memory", "64", "--pbkdf-force-iterations", "4", "--pbkdf-parallel", "1"],
  ],
  ["aes-cbc, 512-byte sectors", ["--cipher", "aes-cbc-essiv:sha256", "--key-size", "256", "--sector-size", "512"]],
];

for (const [name, options] of SHAPES) {
  test(`a LUKS2 header reads as cryptsetup dumps it: ${name}`, async () => {
    const image = makeVolume(folder, `${name}.img`, "luks2", options);
    assertSame(await readLuks2(image), image);
  });
}

test("a LUKS2 header reads as cryptsetup dumps it: integrity", async () => {
  const image = makeVolume(folder, "integrity.img", "luks2");
  // luksFormat --integrity needs the device mapper, so the segment is made to look as it would
  // leave it.
  const integrity = { type: "hmac(sha256)", journal_encryption: "none", journal_integrity: "none" };
  forge(image, (text) => text.replace('"sector_size"', `"integrity":${JSON.stringify(integrity)},"sector_size"`));
  assertSame(await readLuks2(image), image);
  assert.equal((await readLuks2(image)).segments.get(0)?.integrity, "hmac(sha256)");
});

test("many slots, priorities, an unbound slot and tokens read as cryptsetup dumps them", async () => {
  const image = makeVolume(folder, "many.img", "luks2");
  for (let slot = 1; slot < 12; slot++) addSlot(image, `other ${slot}`);
  runTool(["cryptsetup", "config", "--priority", "prefer", "--key-slot", "3", image]);
  runTool(["cryptsetup", "config", "--priority", "ignore", "--key-slot", "4", image]);
  addToken(image, { type: "clevis", keyslots: ["1"], jwe: { deep: [[[[[["x"]]]]]] } });
  addToken(image, { type: "other", keyslots: ["1", "2"], n: 7.5e3 }, ["--token-id", "31"]);
  const header = await readLuks2(image);
  assertSame(header, image);
  assert.equal(header.tokens.size, 2);
  assert.equal(header.keyslots.get(3)?.priority, 2);
  assert.equal(header.keyslots.get(4)?.priority, 0);
});

test("a detached header reads like any other", async () => {
  const image = makeVolume(folder, "data.img", "luks2");
  const header = join(folder, "detached.hdr");
  const argv = ["cryptsetup", "luksFormat", "-q", "--pbkdf", "pbkdf2", "--header", header, image, "-"];
  runTool([...argv, "--pbkdf-force-iterations", "1000"], "x");
  assertSame(await readLuks2(header), header);
});

/** Overwrites bytes of a copy of a volume. */
function patched(image: string, name: string, patches: readonly (readonly [number, Buffer])[]): string {
  const copy = join(folder, name);
  copyFileSync(image, copy);
  patch(copy, patches);
  return copy;
}

test("one damaged copy is told and the other one used; of two valid ones the newer is", async () => {
  for (const sizeBytes of [16 << 10, 64 << 10]) {
    const image = makeVolume(folder, "twin.img", "luks2", ["--luks2-metadata-size", String(sizeBytes)]);
    const before = await readLuks2(image);
    const old = readFileSync(image).subarray(0, 2 * sizeBytes);
    addSlot(image, "second");
    const after = await readLuks2(image);
    assert.ok(after.seqid > before.seqid);
    const noise = Buffer.alloc(600, 0x5a);

    const cases: readonly (readonly [string, readonly (readonly [number, Buffer])[], Partial<Luks2Volume>])[] = [
      ["primary.img", [[4096, noise]], { damagedCopy: "primary", seqid: after.seqid }],
      ["gone.img", [[0, noise]], { damagedCopy: "primary", seqid: after.seqid }],
      ["secondary.img", [[sizeBytes + 4096, noise]], { damagedCopy: "secondary", seqid: after.seqid }],
      ["size.img", [[8, noise.subarray(0, 8)]], { damagedCopy: "primary", seqid: after.seqid }],
      ["old-primary.img", [[0, old.subarray(0, sizeBytes)]], { damagedCopy: null, seqid: after.seqid }],
      ["old-secondary.img", [[sizeBytes, old.subarray(sizeBytes)]], { damagedCopy: null, seqid: after.seqid }],
    ];
    for (const [name, patches, wanted] of cases) {
      const header = await readLuks2(patched(image, name, patches));
      assert.deepEqual({ damagedCopy: header.damagedCopy, seqid: header.seqid }, wanted, `${name} ${sizeBytes}`);
      assert.equal(header.keyslots.size, 2);
    }
  }
});

test("both copies damaged, garbage, and no LUKS at all have codes of their own", async () => {
  const image = makeVolume(folder, "whole.img", "luks2");
  const noise = Buffer.alloc(600, 0x5a);
  const both = patched(image, "both.img", [
    [4096, noise],
    [16384 + 4096, noise],
  ]);
  await assert.rejects(readVolumeHeader(power, both), (error) => {
    assert.ok(isError(error, "luks/damaged"));
    assert.equal(error.message, `${both}: the LUKS2 header is damaged: its checksum does not match`);
    return true;
  });
  const none = patched(image, "none.img", [[0, Buffer.alloc(4 << 20)]]);
  await assert.rejects(readVolumeHeader(power, none), (error) => {
    assert.ok(isError(error, "luks/none"));
    assert.equal(error.message, `${none}: there is no LUKS header`);
    return true;
  });
  const future = patched(image, "future.img", [
    [6, Buffer.from([0, 3])],
    [16384, noise],
  ]);
  await assert.rejects(readVolumeHeader(power, future), (error) => isError(error, "luks/unsupported"));
});

test("a torn read is repeated", async () => {
  const image = makeVolume(folder, "torn.img", "luks2");
  let reads = 0;
  const torn: typeof power = {
    readAt: async (path, offsetBytes, lengthBytes) => {
      const bytes = await readRange(path, offsetBytes, lengthBytes);
      // The first pass over the device finds both copies half written.
      if (reads++ < 10) for (const at of [5000, 16384 + 5000]) if (at < bytes.length) bytes[at] = 0x5a;
      return bytes;
    },
  };
  const header = await readVolumeHeader(torn, image);
  assert.equal(header.version, 2);
  assert.ok(reads > 10);
});

test("a header of the usual shape costs one read", async () => {
  const image = makeVolume(folder, "quick.img", "luks2");
  const reads: (readonly [number, number])[] = [];
  const counting: typeof power = {
    readAt: (path, offsetBytes, lengthBytes) => {
      reads.push([offsetBytes, lengthBytes]);
      return readRange(path, offsetBytes, lengthBytes);
    },
  };
  await readVolumeHeader(counting, image);
  assert.deepEqual(reads, [[0, 32768]]);
});

test("a recovery key of systemd's has a token and is typed all the same", async (t) => {
  const image = makeVolume(folder, "recovery.img", "luks2");
  addSlot(image, "a program's");
  addToken(image, { type: "clevis", keyslots: ["1"], jwe: {} });
  const hasTyped = async () => typedSlots(await readVolumeHeader(power, image), null).length > 0;
  const env = { ...process.env, PASSWORD: PASSPHRASE };
  const enrolled = spawnSync("systemd-cryptenroll", ["--recovery-key", image], { env, encoding: "utf8" });
  if (enrolled.error !== undefined) return t.skip("systemd-cryptenroll is not installed");
  assert.equal(enrolled.status, 0, enrolled.stderr);
  runTool(["cryptsetup", "luksKillSlot", "-q", image, "0", "--key-file", "-"], "a program's");
  assert.equal(await hasTyped(), true);
  runTool(["cryptsetup", "luksKillSlot", "-q", image, "2", "--key-file", "-"], "a program's");
  assert.equal(await hasTyped(), false);
});

test("a LUKS1 header reads as cryptsetup dumps it, luksmeta with it", async () => {
  const image = makeVolume(folder, "one.img", "luks1");
  addSlot(image, "second", ["--key-slot", "5"]);
  const before = (await readVolumeHeader(power, image)) as Luks1Volume;
  assert.equal(before.version, 1);
  assert.equal(before.uuid, String(runTool(["cryptsetup", "luksUUID", image])).trim());
  assert.deepEqual(
    before.keyslots.map((slot) => slot.active),
    [true, false, false, false, false, true, false, false],
  );
  const text = String(runTool(["cryptsetup", "luksDump", image]));
  assert.match(text, new RegExp(`Payload offset:\\s+${before.payloadOffsetBytes / 512}\\n`));
  assert.match(text, new RegExp(`Cipher name:\\s+${before.cipherName}\\n`));
  assert.equal(before.meta, null);

  runTool(["luksmeta", "init", "-f", "-d", image]);
  const uuid = "cb6e8904-81ff-40da-a84a-07ab9ab5715e";
  for (const [slot, data] of [
    [5, "x".repeat(5000)],
    [0, "y"],
  ] as const) {
    runTool(["luksmeta", "save", "-d", image, "-s", String(slot), "-u", uuid], data);
  }
  const after = (await readVolumeHeader(power, image)) as Luks1Volume;
  assert.deepEqual(
    after.meta?.map((record) => [record.keyslot, record.uuid, String(record.data)]),
    [
      [0, uuid, "y"],
      [5, uuid, "x".repeat(5000)],
    ],
  );

  const at = after.meta?.[0]?.offsetBytes ?? 0;
  const spoilt = (await readVolumeHeader(power, patched(image, "spoilt.img", [[at, Buffer.from("z")]]))) as Luks1Volume;
  assert.equal(spoilt.meta?.[0]?.data, null);
  assert.equal(String(spoilt.meta?.[1]?.data).length, 5000);
});

test("null ciphers are refused in LUKS1 and LUKS2", async () => {
  const luks1 = makeVolume(folder, "null1.img", "luks1");
  patch(luks1, [[8, Buffer.from("cipher_null\0")]]);
  await refuses(luks1, 'its cipher is "cipher_null-xts-plain64"');

  const whole = (name: string): string => makeVolume(folder, name, "luks2");
  const spellings = ["cipher_null-ecb", "capi:ecb(cipher_null)-plain", "null"];
  for (const [index, spelling] of spellings.entries()) {
    const image = whole(`null-segment-${index}.img`);
    forge(image, (text) => text.replace(/("segments":.*?"encryption":)"[^"]+"/s, `$1"${spelling}"`));
    await refuses(image, `segment 0 has the cipher "${spelling}"`);
  }
  const slot = whole("null-slot.img");
  forge(slot, (text) => text.replace('"encryption":"aes-xts-plain64"', '"encryption":"cipher_null-ecb"'));
  await refuses(slot, 'keyslot 0 has the cipher "cipher_null-ecb"');
  const linear = whole("linear.img");
  forge(linear, (text) => text.replace('"type":"crypt"', '"type":"linear"'));
  await refuses(linear, "segment 0 is plain, it has no encrypted segment");

  const iv = whole("null-iv.img");
  forge(iv, (text) => text.replace(/("segments":.*?"encryption":)"[^"]+"/s, '$1"aes-cbc-null"'));
  assert.equal((await readLuks2(iv)).segments.get(0)?.encryption, "aes-cbc-null");
});

async function refuses(image: string, what: string): Promise<void> {
  await assert.rejects(readVolumeHeader(power, image), (error) => {
    assert.ok(isError(error, "luks/null-cipher"), String(error));
    assert.equal(error.message, `${image}: the volume is not encrypted: ${what}`);
    return true;
  });
}

test("requirements are told", async () => {
  const image = makeVolume(folder, "requirements.img", "luks2");
  forge(image, (text) => text.replace(/"config":\{/, '"config":{"requirements":{"mandatory":["from-the-future"]},'));
  assert.deepEqual((await readLuks2(image)).requirements, ["from-the-future"]);
});
