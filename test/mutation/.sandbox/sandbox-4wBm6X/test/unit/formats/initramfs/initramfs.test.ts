// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { isError } from "../../../../src/core/errors.ts";
import { type CpioEntry, CpioReader, S_IFDIR, S_IFREG, writeCpio } from "../../../../src/formats/initramfs/cpio.ts";
import { joinInitrds, paddingBeforeOverlay } from "../../../../src/formats/initramfs/initramfs.ts";
import { walkInitramfs } from "../../../support/initramfs-parts.ts";

const file = (name: string, text: string, mode = 0o644) => ({ name, mode, content: Buffer.from(text) });

function read(pieces: readonly Buffer[], wanted: readonly string[] = []) {
  const told: [CpioEntry, string | null][] = [];
  const reader = new CpioReader(
    (entry) => wanted.includes(entry.name),
    (entry, content) => told.push([entry, content?.toString() ?? null]),
  );
  for (const piece of pieces) reader.push(piece);
  return { told, finished: reader.finished };
}

test("an archive holds every folder once, before what is in it, and reads back", () => {
  const archive = writeCpio([file("a/b/c", "one"), file("a/d", "two", 0o400), file("e", "")], { a: 0o700 });
  const { told, finished } = read([archive], ["a/b/c", "a/d"]);
  assert.deepEqual(
    told.map(([entry, content]) => [entry.name, entry.mode, content]),
    [
      ["a", S_IFDIR | 0o700, null],
      ["a/b", S_IFDIR | 0o755, null],
      ["a/b/c", S_IFREG | 0o644, "one"],
      ["a/d", S_IFREG | 0o400, "two"],
      ["e", S_IFREG | 0o644, null],
    ],
  );
  assert.equal(finished, true);
  assert.equal(archive.length % 4, 0);
  assert.deepEqual(writeCpio([file("e", "")]), writeCpio([file("e", "")]));
});

test("whatever the pieces, an archive reads the same", () => {
  const archive = Buffer.concat([
    writeCpio([file("x", "1".repeat(1000)), file("y/z", "2")]),
    Buffer.alloc(512),
    writeCpio([file("w", "3")]),
  ]);
  const whole = read([archive], ["x", "y/z", "w"]);
  assert.deepEqual(
    whole.told.map(([entry]) => entry.name),
    ["x", "y", "y/z", "w"],
  );
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1, maxLength: 30 }), (cuts) => {
      const pieces: Buffer[] = [];
      let at = 0;
      for (const cut of cuts) {
        pieces.push(archive.subarray(at, at + cut));
        at += cut;
      }
      pieces.push(archive.subarray(at));
      assert.deepEqual(read(pieces, ["x", "y/z", "w"]), whole);
    }),
  );
});

test("a concatenated initramfs is told apart without unpacking", () => {
  const early = writeCpio([file("kernel/x86/microcode/GenuineIntel.bin", "code")]);
  const main = gzipSync(writeCpio([file("init", "#!/bin/sh")]));
  const parts = walkInitramfs(Buffer.concat([early, Buffer.alloc(508), main]));
  assert.deepEqual(parts, [
    { compression: null, startBytes: 0, endBytes: early.length },
    { compression: "gzip", startBytes: early.length + 508, endBytes: early.length + 508 + main.length },
  ]);
});

test("an LZ4 archive ends where the kernel's decoder stops, and what follows is told apart", () => {
  const block = (lengthBytes: number) => {
    const bytes = Buffer.alloc(4 + lengthBytes, 0x55);
    bytes.writeUInt32LE(lengthBytes);
    return bytes;
  };
  const magic = Buffer.from([0x02, 0x21, 0x4c, 0x18]);
  const lz4 = Buffer.concat([magic, block(9), block(4), magic, block(2)]);
  const overlay = writeCpio([file("nightlatch", "")]);
  for (const paddingBytes of [0, 1, 2, 3, 4, 5, 512]) {
    assert.deepEqual(
      walkInitramfs(Buffer.concat([lz4, Buffer.alloc(paddingBytes)])).map(({ endBytes }) => endBytes),
      [lz4.length],
    );
  }
  const whole = Buffer.concat([lz4, paddingBeforeOverlay(lz4.length), overlay]);
  assert.deepEqual(
    walkInitramfs(whole).map(({ compression, endBytes }) => [compression, endBytes]),
    [
      ["lz4", lz4.length],
      [null, whole.length],
    ],
  );
  for (const bad of [lz4.subarray(0, -1), Buffer.concat([lz4, overlay]), Buffer.concat([lz4, Buffer.from("xyz")])]) {
    assert.throws(
      () => walkInitramfs(bad),
      (error) => isError(error, "initramfs/malformed"),
    );
  }
});

test("what the kernel could not unpack is refused", () => {
  const archive = writeCpio([file("a", "b")]);
  const refused: [Buffer, RegExp][] = [
    [Buffer.from("hello world"), /neither an archive nor compressed/],
    [Buffer.concat([Buffer.alloc(2), archive]), /no multiple of 4/],
    [archive.subarray(0, 130), /cut off/],
  ];
  for (const [bytes, message] of refused) {
    assert.throws(
      () => walkInitramfs(bytes),
      (error) => isError(error, "initramfs/malformed") && message.test(error.message),
    );
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), fc.nat(archive.length), (noise, at) => {
      const broken = Buffer.concat([archive.subarray(0, at), noise, archive.subarray(at)]);
      try {
        walkInitramfs(broken);
        read([broken]);
      } catch (error) {
        assert.ok(isError(error, "initramfs/malformed") || isError(error, "cpio/malformed"), String(error));
      }
    }),
    { numRuns: 1000 },
  );
});

test("the padding before an overlay is four NULs and the alignment", () => {
  for (let lengthBytes = 100; lengthBytes < 108; lengthBytes++) {
    const padding = paddingBeforeOverlay(lengthBytes);
    assert.equal((lengthBytes + padding.length) % 4, 0);
    assert.ok(padding.length >= 4 && padding.length <= 7);
  }
  assert.deepEqual(joinInitrds([Buffer.from("abc"), Buffer.from("d")]), Buffer.from("abc\0d\0\0\0"));
});
