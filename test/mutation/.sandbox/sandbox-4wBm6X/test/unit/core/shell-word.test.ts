// @ts-nocheck
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import fc from "fast-check";
import { shellWord } from "../../../src/core/text.ts";

test("bash takes a word for what it is, whatever it holds", () => {
  const hostile = [
    "",
    "-n",
    "a b",
    "$(touch x)",
    "`id`",
    "a;b",
    "it's",
    "'",
    "\\",
    "*",
    "~",
    "{a,b}",
    "!x",
    "#x",
    "a\tb",
  ];
  const texts = [...hostile, ...fc.sample(fc.string({ maxLength: 12 }), { numRuns: 300, seed: 1 })]
    .map((text) => text.replaceAll(/[\0\n\r]/g, ""))
    .filter((text) => text !== "");
  const script = `printf '%s\\n' ${texts.map(shellWord).join(" ")}`;
  const { stdout } = spawnSync("bash", ["-c", script], { encoding: "utf8" });
  assert.deepEqual(stdout.split("\n").slice(0, -1), texts);
});

test("what people write needs no quotes", () => {
  for (const text of ["/dev/disk/by-uuid/1-2", "http://keys:7654/latch/a_b-c", "UUID=1"])
    assert.equal(shellWord(text), text);
});
