// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseExpires } from "../../../src/cli/expires.ts";
import { parseDuration } from "../../../src/core/duration.ts";
import { isError } from "../../../src/core/errors.ts";

test("a duration is a whole number and one of the units that may be", () => {
  const parse = (text: string) => parseDuration(text, ["ms", "s", "m", "h"]);
  assert.deepEqual(["1ms", "20s", "3m", "1h", "0s"].map(parse), [1, 20_000, 180_000, 3_600_000, 0]);
  const wrong = ["", "s", "1", "1 s", "1.5s", "-1s", "1S", "1234567890s", "1d", "1constructor"];
  assert.deepEqual(wrong.map(parse), Array(wrong.length).fill(null));
  assert.equal(parseDuration("2d", ["d"]), 172_800_000);
});

test("--expires is a duration that is not nothing", () => {
  assert.deepEqual(["90m", "15s", "2d"].map(parseExpires), [5_400_000, 15_000, 172_800_000]);
  for (const text of ["0m", "soon", "5ms", ""]) {
    assert.throws(
      () => parseExpires(text),
      (error) => isError(error, "usage/wrong"),
    );
  }
});
