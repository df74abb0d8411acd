// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Entry, encodeEntry, parseEntry } from "../../../../src/server/audit/entry.ts";

const release: Entry = {
  kind: "release",
  at: 1_800_000_000_000,
  machine: "m",
  latch: "l",
  epoch: 1,
  from: "192.0.2.1",
};

test("an entry is canonical: members by name, no spaces, absent ones absent", () => {
  assert.equal(
    encodeEntry(release).toString(),
    '{"at":1800000000000,"epoch":1,"from":"192.0.2.1","kind":"release","latch":"l","machine":"m"}',
  );
  assert.deepEqual({ ...parseEntry(encodeEntry(release)) }, { ...release });
});

test("text of any kind survives", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme", maxLength: 60 }), (volume) => {
      const entry = { ...release, kind: "latch", volume, name: "nas", kid: "k" } as Entry;
      assert.deepEqual({ ...parseEntry(encodeEntry(entry)) }, { ...entry });
    }),
  );
});

test("anything but the canonical form is damage", () => {
  const good = encodeEntry(release).toString();
  for (const wrong of [
    "",
    "{}",
    "[]",
    "null",
    `${good} `,
    good.replace(":1,", ": 1,"),
    good.replace(":1,", ":1.0,"),
    good.replace('"at":1800000000000,', ""),
    good.replace('"epoch":1,', '"epoch":1,"epoch":1,'),
    good.replace("}", ',"zz":{}}'),
    good.replace("}", ',"zz":null}'),
    good.replace("}", ',"zz":true}'),
    good.replace("}", ',"a":1}'),
  ]) {
    assert.throws(() => parseEntry(Buffer.from(wrong)), { name: "NightlatchError" }, wrong);
  }
});
