/**
 * Everything timed in the server runs on the port's clock, so that a simulation can have it live
 * through years. A turn of the event loop is no time.
 */
// @ts-nocheck

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { SRC } from "../../support/imports.ts";

const OTHER_CLOCKS =
  /\bDate\.now\b|\bnew Date\(\)|\bperformance\b|\bhrtime\b|\buptime\b|\bset(?:Timeout|Interval)\b|\btimers\b|\bMath\.random\b|\bAbortSignal\.timeout\b/g;

/** Where a file's code, its comments aside, asks another clock. */
function otherClocksIn(text: string): string[] {
  const code = text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/\/\/.*$/gm, "");
  return [...code.matchAll(OTHER_CLOCKS)].map(([found]) => found);
}

const folder = join(SRC, "server");
const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".ts"));

test("nothing in the server asks another clock than the port's", () => {
  assert.ok(files.length > 50);
  const found = files.flatMap((file) =>
    otherClocksIn(readFileSync(join(folder, file), "utf8")).map((what) => `${file}: ${what}`),
  );
  assert.deepEqual(found, []);
});

test("another clock is found, however it is asked", () => {
  assert.deepEqual(otherClocksIn("const at = Date.now();"), ["Date.now"]);
  assert.deepEqual(otherClocksIn("const at = +new Date();"), ["new Date()"]);
  assert.deepEqual(otherClocksIn("setTimeout(act, 5); clearTimeout(timer);"), ["setTimeout"]);
  assert.deepEqual(otherClocksIn('import { setInterval as again } from "node:timers/promises";'), [
    "setInterval",
    "timers",
  ]);
  assert.deepEqual(otherClocksIn("process.hrtime.bigint() + performance.now()"), ["hrtime", "performance"]);
  assert.deepEqual(otherClocksIn("fetch(url, { signal: AbortSignal.timeout(5) })"), ["AbortSignal.timeout"]);
  assert.deepEqual(otherClocksIn("// Date.now() is not asked\nnew Date(atMs); setImmediate(act);"), []);
});
