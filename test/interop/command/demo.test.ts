import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { resolve } from "node:path";
import { test } from "node:test";

test("the demo's every step does what it says", () => {
  const demo = spawnSync(process.execPath, [resolve(import.meta.dirname, "../../../script/demo.ts")], {
    encoding: "utf8",
    timeout: 300_000,
  });
  assert.equal(demo.status, 0, demo.stdout + demo.stderr);
  assert.match(demo.stdout, /^All steps did what they say/m);
});
