import assert from "node:assert/strict";
import { test } from "node:test";
import { remembered } from "../../../src/core/remembered.ts";

test("a text is read once, also where nothing comes of it, and only so many are remembered", () => {
  const read: string[] = [];
  const lengthOf = remembered(2, (text) => {
    read.push(text);
    return text === "" ? null : text.length;
  });
  assert.deepEqual(["a", "", "a", ""].map(lengthOf), [1, null, 1, null]);
  assert.deepEqual(read, ["a", ""]);
  assert.equal(lengthOf("bb"), 2);
  assert.deepEqual(["a", "bb"].map(lengthOf), [1, 2]);
  assert.deepEqual(read, ["a", "", "bb", "a"]);
});

test("what could not be read is read again", () => {
  let isBad = true;
  const sure = remembered(2, (text) => {
    if (isBad) throw new Error(text);
    return text;
  });
  assert.throws(() => sure("a"));
  isBad = false;
  assert.equal(sure("a"), "a");
});
