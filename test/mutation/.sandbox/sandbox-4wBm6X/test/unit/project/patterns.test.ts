/**
 * Patterns whose work grows with the square of their text: none is put to what comes from outside.
 */
// @ts-nocheck

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

const SRC = join(import.meta.dirname, "../../../src");

/**
 * Blanks that something lazy before them may take as well; or an end that is looked for from each
 * character anew.
 */
const LAZY_BEFORE_BLANKS = /\.[*+]\?\)?(?:\\s|\[ \\t\]| )[*+]/;
const END_WITHOUT_BEGINNING = /(?:^|[|])(?:\\?.|\[[^\]]*\])[*+]\$(?:$|[|])/;

function squares(pattern: string): boolean {
  return LAZY_BEFORE_BLANKS.test(pattern) || END_WITHOUT_BEGINNING.test(pattern);
}

/** Near enough: a literal stands behind what no division stands behind, on one line. */
function* patternsIn(source: string): Generator<string> {
  for (const line of source.split("\n")) {
    if (/^\s*(?:\/\/|\*|\/\*)/.test(line)) continue;
    for (const [, pattern = ""] of line.matchAll(
      /(?:^|[(=,:?&|!{;\s])\/((?:\\.|\[(?:\\.|[^\]\\])*\]|[^/\\[])+)\/[a-z]*(?=[.,;)\s\]}]|$)/g,
    )) {
      yield pattern;
    }
  }
}

test("the kinds are told from those that are fine", () => {
  for (const bad of ["\\/+$", "^[ \\t]+|[ \\t]+$", "\\s+$", "^\\s*(\\w+)\\s+(.*?)\\s*$", "(.+?)[ \\t]*"]) {
    assert.ok(squares(bad), bad);
  }
  for (const fine of ["^[a-z]+$", "^\\/+adv\\/*$", "#.*$", "^(\\w+)\\s+(.*)$", "\\0.*$", "\\/[^/]+$"]) {
    assert.ok(!squares(fine), fine);
  }
  assert.deepEqual([...patternsIn('const a = line.replace(/[ \\t]+$/g, "") / 2;')], ["[ \\t]+$"]);
});

test("no source has one", () => {
  const files = readdirSync(SRC, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".ts"));
  let seen = 0;
  for (const file of files) {
    for (const pattern of patternsIn(readFileSync(join(SRC, file), "utf8"))) {
      seen++;
      assert.ok(!squares(pattern), `${file}: /${pattern}/`);
    }
  }
  assert.ok(seen > 150, `${seen} patterns were found`);
});
