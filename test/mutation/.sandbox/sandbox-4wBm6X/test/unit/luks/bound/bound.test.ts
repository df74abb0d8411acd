// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { isError, NightlatchError } from "../../../../src/core/errors.ts";
import type { Luks2Digest, Luks2Metadata } from "../../../../src/formats/luks/luks2-metadata.ts";
import { formatVolumeRecord, parseVolumeRecord, type VolumeRecord } from "../../../../src/formats/own/volume-record.ts";
import { judgeBound, refusalOf } from "../../../../src/luks/bound/bound.ts";
import { recordByPerson, recordUnbound, recordUse, useOf } from "../../../../src/luks/bound/changes.ts";
import type { Luks1Volume, Luks2Volume } from "../../../../src/luks/header/header.ts";
import { identityOf } from "../../../../src/luks/header/identity.ts";

const STATE = "/state";
const [A, B] = ["aaaaaaaa-0000-0000-0000-000000000000", "bbbbbbbb-0000-0000-0000-000000000000"];

const digest = (byte: number, segments: readonly number[] = [0]): Luks2Digest => ({
  type: "pbkdf2",
  hash: "sha256",
  iterations: 1000,
  saltBase64: Buffer.alloc(32, byte).toString("base64"),
  digestBase64: Buffer.alloc(32, byte + 1).toString("base64"),
  keyslots: [0],
  segments,
});
type Luks2Segment = Luks2Metadata["segments"] extends ReadonlyMap<number, infer S> ? S : never;

const segment = (more: Partial<Luks2Segment> = {}): Luks2Segment => ({
  type: "crypt",
  offsetBytes: 16 << 20,
  encryption: "aes-xts-plain64",
  integrity: null,
  isBackup: false,
  ...more,
});
const luks2 = (uuid: string, digests: readonly Luks2Digest[], segments: readonly Luks2Segment[] = [segment()]) =>
  ({
    version: 2,
    uuid,
    digests: new Map(digests.entries()),
    segments: new Map(segments.entries()),
  }) as unknown as Luks2Volume;
const volume = (uuid: string, byte: number) => luks2(uuid, [digest(byte)]);

/** A state folder in memory, whose writes are counted and can be cut off. */
function world() {
  const files = new Map<string, Buffer>();
  let writesLeft = Number.POSITIVE_INFINITY;
  const change = (work: () => void) => {
    if (writesLeft-- <= 0) throw new NightlatchError("file/denied", "the power has gone");
    work();
  };
  return {
    files,
    cutAfter: (writes: number) => {
      writesLeft = writes;
    },
    readFile: async (path: string) => {
      const bytes = files.get(path);
      if (bytes === undefined) throw new NightlatchError("file/missing", path);
      return bytes;
    },
    listDirectory: async () => [...files.keys()].map((path) => path.slice(STATE.length + 1)).sort(),
    writeFile: async (path: string, bytes: Uint8Array) => change(() => files.set(path, Buffer.from(bytes))),
    removeFile: async (path: string) => change(() => files.delete(path)),
    lock: async () => ({ descriptor: -1, [Symbol.asyncDispose]: async () => {} }),
    nowMs: () => 1_700_000_000_000,
  };
}
type World = ReturnType<typeof world>;

const bind = (power: World, header: Luks2Volume) =>
  recordByPerson(power, STATE, { device: "/dev/x", header, openedBy: 0 });
async function use(power: World, header: Luks2Volume, name: string): Promise<string> {
  const verdict = await judgeBound(power, STATE, header, name);
  if (verdict.kind === "other") return verdict.kind;
  const used = useOf(header, name);
  if (used !== null) await recordUse(power, STATE, used);
  return verdict.kind;
}

test("the digest that is assigned to the data identifies the volume, and no other that lies beside it", () => {
  const genuine = identityOf(volume(A, 1));
  assert.ok(genuine !== null);
  assert.deepEqual(identityOf(volume(B, 1)), genuine, "the UUID takes no part");
  assert.deepEqual(identityOf(luks2(A, [digest(9, []), digest(1)])), genuine, "one of an unbound keyslot");
  const thiefs = luks2(A, [digest(1, []), digest(9)]);
  assert.notDeepEqual(identityOf(thiefs), genuine, "the genuine digest kept, but assigned to nothing");
  for (const unclear of [
    luks2(A, [digest(1), digest(9)]),
    luks2(A, [digest(1, [0]), digest(9, [1])], [segment(), segment()]),
    luks2(A, [digest(1, [0])], [segment(), segment()]),
    luks2(A, [digest(1, [])]),
    luks2(A, [digest(1)], []),
    luks2(A, [digest(1)], [segment({ isBackup: true })]),
    luks2(A, [digest(1)], [segment({ type: "linear", encryption: null })]),
    luks2(A, [{ ...digest(1), type: "other" }]),
    luks2(A, [{ ...digest(1), digestBase64: null }]),
    luks2(A, [digest(1, [0, 1])], [segment(), segment({ encryption: "aes-ecb" })]),
  ]) {
    assert.equal(identityOf(unclear), null);
  }
  const backup = luks2(A, [digest(1, [0]), digest(9, [1])], [segment(), segment({ isBackup: true })]);
  assert.deepEqual(identityOf(backup), genuine);
});

test("each member of the digest, and the cipher, makes another volume", () => {
  const genuine = identityOf(volume(A, 1));
  const changes: Partial<Luks2Digest>[] = [
    { hash: "sha512" },
    { iterations: 1001 },
    { saltBase64: "AAAA" },
    { digestBase64: "AAAA" },
  ];
  for (const change of changes) assert.notEqual(identityOf(luks2(A, [{ ...digest(1), ...change }]))?.key, genuine?.key);
  const other = identityOf(luks2(A, [digest(1)], [segment({ encryption: "aes-cbc-null" })]));
  assert.equal(other?.key, genuine?.key);
  assert.notEqual(other?.cipher, genuine?.cipher);
  assert.equal(
    identityOf(luks2(A, [digest(1)], [segment({ integrity: "hmac(sha256)" })]))?.cipher,
    "aes-xts-plain64+hmac(sha256)",
  );
});

test("a LUKS1 volume keeps its identity when it is converted", () => {
  const keyDigest = { iterations: 1000, salt: Buffer.alloc(32, 1), digest: Buffer.alloc(32, 2) };
  const luks1 = { version: 1, uuid: A, hash: "sha256", cipherName: "aes", cipherMode: "xts-plain64", keyDigest };
  assert.deepEqual(identityOf(luks1 as unknown as Luks1Volume), identityOf(volume(A, 1)));
});

test("bound, first used, and another in its place, by UUID and by name", async () => {
  const power = world();
  await bind(power, volume(A, 1));
  assert.equal(await use(power, volume(A, 1), "data"), "bound");
  assert.equal(await use(power, volume(A, 9), "data"), "other", "the same UUID, another key");
  assert.equal(await use(power, volume(A, 9), "elsewhere"), "other");
  assert.equal(await use(power, volume(B, 9), "data"), "other", "another UUID under the same name");
  assert.equal(await use(power, volume(B, 9), "new"), "first-use");
  assert.equal(await use(power, volume(B, 9), "new"), "bound");
  assert.equal(await use(power, volume(B, 8), "new"), "other", "of a first use as of a binding");
  assert.equal((await judgeBound(power, STATE, volume(B, 9), null)).kind, "bound");
  assert.equal((await judgeBound(power, STATE, volume("c", 9), null)).kind, "first-use");
  assert.equal((await judgeBound(power, STATE, luks2(A, []), "data")).kind, "other", "a header that cannot be told");
});

test("a person accepts: the same UUID with another key, and another disk under the same name", async () => {
  const power = world();
  await bind(power, volume(A, 1));
  await use(power, volume(A, 1), "data");
  assert.equal((await bind(power, volume(A, 2)))?.volume, A);
  assert.equal(await use(power, volume(A, 2), "data"), "bound");
  assert.equal(await use(power, volume(A, 1), "data"), "other", "the former one is another now");
  assert.equal(await bind(power, volume(A, 2)), null, "the same again is no change");

  assert.equal(await use(power, volume(B, 3), "data"), "other");
  await bind(power, volume(B, 3));
  assert.equal(await use(power, volume(B, 3), "data"), "bound");
  const names = parseVolumeRecord(power.files.get(`${STATE}/volume-${A}.json`) ?? Buffer.alloc(0)).names;
  assert.deepEqual(names, [], "the name goes with the volume");
  await assert.rejects(bind(power, luks2(A, [])), { code: "luks/unsupported" });
});

test("a passphrase proves the data's own key alone: not a keyslot of another key, nor one that two keys claim", async () => {
  const power = world();
  const behind = [segment(), segment({ isBackup: true })];
  const genuine = digest(1, [1]);
  for (const forged of [
    luks2(A, [genuine, { ...digest(9), keyslots: [1] }], behind),
    luks2(A, [genuine, { ...digest(9), keyslots: [0, 1] }], behind),
    luks2(A, [{ ...digest(9), keyslots: [0, 1] }, genuine], behind),
    luks2(A, [{ ...digest(9), keyslots: [] }]),
  ]) {
    await assert.rejects(bind(power, forged), { code: "luks/not-proved" });
  }
  assert.equal(power.files.size, 0);
});

test("with the last binding the record goes; before, the latches that are left stay", async () => {
  const power = world();
  const latches = ["http://a/latch/1", "http://b/latch/2"].map((url) => ({ url, server: null }));
  await recordByPerson(power, STATE, { device: "/dev/x", header: volume(A, 1), openedBy: 0 }, () => latches);
  const read = () => parseVolumeRecord(power.files.get(`${STATE}/volume-${A}.json`) ?? Buffer.alloc(0));
  await recordUnbound(power, STATE, A, { urls: ["http://b/latch/2"], isBound: true });
  assert.deepEqual(read().latches, [latches[1]]);
  await recordUnbound(power, STATE, A, { urls: [], isBound: false });
  assert.equal(power.files.size, 0);
  await recordUnbound(power, STATE, A, { urls: [], isBound: false });
});

test("the power may go between any two writes: no volume is taken for another, and none that was bound is refused", async () => {
  for (let writes = 0; writes < 4; writes++) {
    const power = world();
    await bind(power, volume(A, 1));
    await use(power, volume(A, 1), "data");
    power.cutAfter(writes);
    await bind(power, volume(B, 3)).catch(() => {});
    await use(power, volume(B, 3), "data").catch(() => {});
    power.cutAfter(Number.POSITIVE_INFINITY);
    assert.equal(await use(power, volume(A, 1), "data"), "bound", `${writes} writes`);
    assert.equal(await use(power, volume(B, 9), "data"), "other", `${writes} writes`);
    if (writes > 0) assert.equal(await use(power, volume(B, 3), "data"), "bound", `${writes} writes`);
  }
});

test("what is refused, and why, is told with what to do", () => {
  const record: VolumeRecord = { volume: A, key: "k", cipher: "c", names: [], latches: [], by: "person", atMs: 0 };
  assert.equal(refusalOf({ kind: "bound", record }, "/dev/x", "recorded"), null);
  assert.equal(refusalOf({ kind: "first-use" }, "/dev/x", "first-use"), null);
  assert.equal(refusalOf({ kind: "first-use" }, "/dev/x", "recorded")?.code, "luks/not-recorded");
  for (const trust of ["first-use", "recorded"] as const) {
    const refusal = refusalOf({ kind: "other", record, why: "is blue" }, "/dev/x", trust);
    assert.equal(refusal?.code, "luks/other-volume");
    assert.match(refusal?.remedy ?? "", /nightlatch accept \/dev\/x$/);
  }
});

test("a record says what it said; one that is damaged refuses its volume, and a person can replace it", async () => {
  const plain = { noNullPrototype: true };
  const text = fc.string({ minLength: 1, maxLength: 40 });
  const record = fc.record(
    {
      volume: text,
      key: fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes).toString("base64url")),
      cipher: text,
      names: fc.array(text, { maxLength: 16 }),
      latches: fc.array(fc.record({ url: text, server: fc.constant(null) }, plain), { maxLength: 32 }),
      by: fc.constantFrom("person" as const, "first-use" as const),
      atMs: fc.nat(),
    },
    plain,
  );
  fc.assert(fc.property(record, (one) => assert.deepEqual(parseVolumeRecord(formatVolumeRecord(one)), one)));

  const power = world();
  await bind(power, volume(A, 1));
  const path = `${STATE}/volume-${A}.json`;
  const good = String(power.files.get(path));
  for (const bad of [
    "",
    "{}",
    good.slice(1),
    good.replace('"version":1', '"version":2'),
    good.replace(A, B),
    good.replace('"key"', '"kex"'),
  ]) {
    power.files.set(path, Buffer.from(bad));
    await assert.rejects(
      judgeBound(power, STATE, volume(A, 1), "data"),
      (error) => isError(error, "machine/bad-state"),
      bad,
    );
  }
  await bind(power, volume(A, 1));
  assert.equal(await use(power, volume(A, 1), "data"), "bound");
});

test("a UUID that is no name of a file is never one", async () => {
  const power = world();
  for (const uuid of ["../../etc/passwd", "", "a/b", "x".repeat(60)]) {
    assert.equal(await use(power, volume(uuid, 1), "odd"), "first-use");
    assert.equal(power.files.size, 0);
    await assert.rejects(bind(power, volume(uuid, 1)), { code: "luks/unsupported" });
  }
});
