// @ts-nocheck
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { FINDING_CODES } from "../../../../src/check/judge/finding.ts";

test("docs/check.md lists every finding, and no other", () => {
  const page = readFileSync(new URL("../../../../docs/check.md", import.meta.url), "utf8");
  const listed = [...page.matchAll(/^\| (.*?) \|/gm)].flatMap(
    ([, cell]) => String(cell).match(/check\/[a-z-]+/g) ?? [],
  );
  assert.deepEqual(listed.sort(), [...FINDING_CODES].sort());
});
