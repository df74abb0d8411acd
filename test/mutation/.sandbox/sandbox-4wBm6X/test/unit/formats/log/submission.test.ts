// @ts-nocheck
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { importRawKey, isSignedCheckpoint, parseNote } from "../../../../src/formats/log/note.ts";
import { provesGrowth } from "../../../../src/formats/log/proof.ts";
import {
  buildSubmission,
  formatSize,
  parseSize,
  parseSubmission,
  SUBMISSION_BYTES,
} from "../../../../src/formats/log/submission.ts";

/** What litewitness's own test is sent, of a log that it calls Sigsum's. */
const LOG_KEY = importRawKey(Buffer.from("ffdc2d4d98e4124d3feaf788c0c2f9abfd796083d1f0495437f302ec79cf100f", "hex"));
const ORIGIN = "sigsum.org/v1/tree/4d6d8825a6bb689d459628312889dfbb0bcd41b5211d9e1ce768b0ff0309e562";
const FIRST = `old 0

${ORIGIN}
1
KgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=

— ${ORIGIN} UgIom7fPZTqpxWWhyjWduBvTvGVqsokMbqTArsQilegKoFBJQjUFAmQ0+YeSPM3wfUQMFSzVnnNuWRTYrajXpNUbIQY=
`;
const GROWN = `old 1
KgEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
KgIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=

${ORIGIN}
3
RcCI1Nk56ZcSmIEfIn0SleqtV7uvrlXNccFx595Iwl0=

— ${ORIGIN} UgIom2VbtIcdFbwFAy1n7s6IkAxIY6J/GQOTuZF2ORV39d75cbAj2aQYwyJre36kezNobZs4SUUdrcawfAB8WVrx6go=
`;
const FORGED = GROWN.replace("WVrx6go=", "WVrx6gx=");

test("what another implementation sends is read; its signature holds, and its proof", () => {
  const [first, grown, forged] = [FIRST, GROWN, FORGED].map((text) => parseSubmission(Buffer.from(text)));
  assert.ok(first && grown && forged);
  assert.deepEqual([first.oldSize, first.proof.length, first.origin], [0, 0, ORIGIN]);
  assert.deepEqual([grown.oldSize, grown.proof.length], [1, 2]);
  const [before, after] = [parseNote(first.note, LOG_KEY), parseNote(grown.note, LOG_KEY)];
  assert.ok(before && after && isSignedCheckpoint(before, LOG_KEY) && isSignedCheckpoint(after, LOG_KEY));
  assert.ok(provesGrowth(before, after, grown.proof));
  assert.ok(!provesGrowth(before, after, [...grown.proof].reverse()));
  const wrong = parseNote(forged.note, LOG_KEY);
  assert.ok(wrong === null || !isSignedCheckpoint(wrong, LOG_KEY));
  for (const text of [FIRST, GROWN]) {
    const read = parseSubmission(Buffer.from(text));
    assert.equal(read === null ? "" : buildSubmission(read).toString(), text);
  }
});

test("what is not of this form is none", () => {
  for (const wrong of [
    "",
    FIRST.replace("old 0", "old 00"),
    FIRST.replace("old 0", "old -1"),
    FIRST.replace("old 0\n", ""),
    FIRST.replace("old 0\n\n", "old 0\n"),
    GROWN.replace("KgEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "KgE="),
    GROWN.replace("AAA=\n", "AAB=\n"),
    GROWN.replaceAll("\n", "\r\n"),
    GROWN.replace("old 1\n", `old 1\n${"KgEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n".repeat(62)}`),
    `${FIRST}${"— a b\n".repeat(SUBMISSION_BYTES)}`,
  ]) {
    assert.equal(parseSubmission(Buffer.from(wrong)), null, wrong.slice(0, 60));
  }
  assert.equal(parseSubmission(Buffer.concat([Buffer.from(FIRST), Buffer.of(0xff)])), null);
  assert.equal(parseSubmission(Buffer.concat([Buffer.of(0xef, 0xbb, 0xbf), Buffer.from(FIRST)])), null);
});

test("as many hashes as may be are read", () => {
  const proof = Array.from({ length: 63 }, () => randomBytes(32));
  const note = FIRST.slice(7);
  assert.deepEqual(parseSubmission(buildSubmission({ oldSize: 5, proof, note })), {
    oldSize: 5,
    proof,
    note,
    origin: ORIGIN,
  });
});

test("a size is read as it is written, and nothing else is one", () => {
  assert.equal(parseSize(Buffer.from(formatSize(20_852_163))), 20_852_163);
  for (const wrong of ["", "5", "05\n", "-5\n", "5\n\n", "9999999999999999\n"])
    assert.equal(parseSize(Buffer.from(wrong)), null);
});

test("no bytes make the readers throw", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
      assert.equal(parseSubmission(bytes), null);
      parseSize(bytes);
    }),
  );
});
