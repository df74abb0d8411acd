// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Secret } from "../../../../src/core/secret.ts";
import { differingGroups, formatRecoveryKey, readRecoveryKey } from "../../../../src/formats/systemd/recovery-key.ts";

const text = (secret: Secret | null) => secret?.reveal().toString("latin1") ?? null;
const read = (typed: string) => text(readRecoveryKey(Buffer.from(typed)));
const raw = fc.uint8Array({ minLength: 32, maxLength: 32 });

test("a key has the letters of modhex, the higher half of a byte first", () => {
  const bytes = Buffer.from("00112233445566778899aabbccddeeff0123456789abcdeffedcba9876543210", "hex");
  assert.equal(
    text(formatRecoveryKey(bytes)),
    "ccbbddee-ffgghhii-jjkkllnn-rrttuuvv-cbdefghi-jklnrtuv-vutrnlkj-ihgfedbc",
  );
  assert.throws(() => formatRecoveryKey(bytes.subarray(1)), { message: "a recovery key has 32 bytes" });
});

// systemd 252 printed this one.
const KEY = "geiifcif-cdkrtlhj-ehjgricd-hfdchvhd-gcdvceut-eclkjknd-tvugjnel-llibbrte";

test("what a person types is read with all dashes or none, in small letters or capitals", () => {
  for (const typed of [KEY, KEY.replaceAll("-", ""), KEY.toUpperCase(), KEY.replaceAll("-", "").toUpperCase()]) {
    assert.equal(read(typed), KEY);
  }
});

test("anything else is no recovery key", () => {
  const wrong = [
    "",
    KEY.slice(1),
    `${KEY}\n`,
    KEY.replace("-", ""),
    KEY.replace("-", " "),
    KEY.replace("g", "a"),
    KEY.replace("g", "-"),
    KEY.replaceAll("-", "").replace("g", "\x07"), // "g" with one bit less
    `-${KEY.replaceAll("-", "").slice(0, 70)}`,
    "c".repeat(71),
  ];
  for (const typed of wrong) assert.equal(read(typed), null, JSON.stringify(typed));
});

test("every key that is written is read back; whatever is read is a key", () => {
  fc.assert(fc.property(raw, (bytes) => read(text(formatRecoveryKey(bytes)) ?? "") === text(formatRecoveryKey(bytes))));
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (typed) => {
      const found = text(readRecoveryKey(typed));
      assert.ok(found === null || /^(?:[cbdefghijklnrtuv]{8}-){7}[cbdefghijklnrtuv]{8}$/.test(found));
    }),
  );
});

test("the groups in which two keys differ are told, and nothing else of them", () => {
  const groups = (other: string) => differingGroups(Secret.copy(Buffer.from(KEY)), Secret.copy(Buffer.from(other)));
  assert.deepEqual(groups(KEY), []);
  assert.deepEqual(groups(`c${KEY.slice(1)}`), [1]);
  assert.deepEqual(groups(`${KEY.slice(0, 9)}v${KEY.slice(10, 70)}v`), [2, 8]);
});
