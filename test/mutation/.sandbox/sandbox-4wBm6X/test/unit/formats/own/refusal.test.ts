// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseRefusal } from "../../../../src/formats/own/refusal.ts";

test("a refusal's code is taken only in the form that codes have", () => {
  assert.equal(parseRefusal(Buffer.from('{"error":"machine/locked"}')), "machine/locked");
  for (const body of [
    "",
    "<html>",
    "[]",
    '{"error":1}',
    '{"error":"no"}',
    '{"error":"a/b\\nc"}',
    `{"error":"${"a".repeat(99)}/b"}`,
  ]) {
    assert.equal(parseRefusal(Buffer.from(body)), null, body);
  }
});
