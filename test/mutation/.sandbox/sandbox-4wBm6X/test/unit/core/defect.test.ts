// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { describeDefect, traceOf } from "../../../src/core/defect.ts";

test("a defect is told by its kind, its code and its place", () => {
  assert.match(describeDefect(new RangeError("x")), /^RangeError at test\/unit\/core\/defect\.test\.ts:\d+:\d+$/);
  const coded = Object.assign(new Error("x"), { code: "ERR_INVALID_ARG_TYPE" });
  assert.match(describeDefect(coded), /^Error ERR_INVALID_ARG_TYPE at test/);
  assert.equal(describeDefect("a string"), "a thrown string");
  assert.equal(describeDefect(null), "a thrown null");
  assert.equal(describeDefect(undefined), "a thrown undefined");
});

test("the place is our own, where Node itself threw", () => {
  try {
    Buffer.from(5 as never);
  } catch (error) {
    assert.match(describeDefect(error), /^TypeError ERR_INVALID_ARG_TYPE at test\/unit\/core\/defect\.test\.ts/);
    return;
  }
  assert.fail();
});

test("the trace names what an error was caused by, without end in a circle", () => {
  const inner = new TypeError("inner");
  const outer = new Error("outer", { cause: inner });
  assert.match(traceOf(outer), /^Error at .*\n {4}at .*[\s\S]*\ncaused by TypeError at .*\n {4}at /);
  inner.cause = outer;
  assert.ok(traceOf(outer).split("\n").length < 200);
});

/** Wherever an error may carry what a peer sent or a person typed. */
test("nothing that an error says comes out, in whichever of its members and however it is broken into lines", () => {
  // Never a single word: names and codes are words, and are told.
  const secret = fc
    .string({ minLength: 8, unit: fc.constantFrom(..."XYZ!\n ") })
    .map((text) => `!${text}`)
    .filter((text) => /[XYZ!]{4}/.test(text));
  fc.assert(
    fc.property(secret, fc.constantFrom("message", "name", "code", "cause", "stack"), (text, member) => {
      const error = new Error(text, { cause: text });
      for (const value of [text, `${text}\n    at ${text}\n    at eval (${text})`, { text }, new Error(text)]) {
        Object.defineProperty(error, member, { value, configurable: true });
        const told = `${describeDefect(error)}\n${traceOf(error)}`;
        for (const [piece] of text.matchAll(/[XYZ!]{4,}/g)) assert.ok(!told.includes(piece), told);
      }
    }),
  );
});
