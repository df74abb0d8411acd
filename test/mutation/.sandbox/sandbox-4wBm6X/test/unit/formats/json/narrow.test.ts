// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseJson } from "../../../../src/formats/json/json.ts";
import {
  hasExactly,
  isBase64urlOf,
  isInteger,
  isList,
  isText,
  isTextLike,
} from "../../../../src/formats/json/narrow.ts";

test("exactly these members: none missing, none more, none that only looks like two", () => {
  const has = (text: string) => hasExactly(parseJson(text, "the text", { lengthBytes: 100 }), ["a", "b"]);
  assert.ok(has('{"b":1,"a":null}'));
  for (const text of ["{}", '{"a":1}', '{"a":1,"c":1}', '{"a":1,"b":1,"c":1}', '{"a,b":1}', '["a","b"]', "null"]) {
    assert.ok(!has(text), text);
  }
  assert.ok(!hasExactly({ constructor: 1, b: 1 }, ["toString", "b"]), "what is inherited is no member");
});

test("text, by its length and by its pattern", () => {
  assert.ok(isText("x", 1));
  for (const json of ["", "xx", 1, null, undefined, ["x"]]) assert.ok(!isText(json, 1));
  assert.ok(isTextLike("ab", /^[a-b]+$/));
  for (const json of ["abc", 1, null, undefined, ["ab"]]) assert.ok(!isTextLike(json, /^[a-b]+$/));
});

test("base64url of so many bytes, in its one spelling", () => {
  assert.ok(isBase64urlOf("_-8", 2));
  for (const json of ["_-8=", "/+8", "_-9", " _-8", "_-8A", "", 2, null, undefined]) assert.ok(!isBase64urlOf(json, 2));
});

test("a whole number from here to there", () => {
  for (const json of [0, 1, 2]) assert.ok(isInteger(json, 0, 2));
  for (const json of [-1, 3, 0.5, "1", null, undefined, [1]]) assert.ok(!isInteger(json, 0, 2));
  assert.ok(!isInteger(2 ** 53, 0, 2 ** 60), "beyond what a double tells apart");
});

test("a list of at most so many", () => {
  assert.ok(isList([], 0));
  assert.ok(isList([1, "2"], 2));
  for (const json of [[1, 2, 3], { length: 0 }, "12", null, undefined]) assert.ok(!isList(json, 2));
});
