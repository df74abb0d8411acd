/** Shell scripts that stand in a source as text: no linter reads them. */
// @ts-nocheck

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { runInNewContext } from "node:vm";

const ROOT = resolve(import.meta.dirname, "../../..");
/** A template whose text begins as a shell's script does; what is filled in is a word. */
const SCRIPT = /`#!\/(?:usr\/)?bin\/(?:ba)?sh\b(?:[^`\\]|\\.)*`/gs;

const FILLED_IN = /\$\{(?:[^{}]|\{[^{}]*\})*\}/g;

/** What a shell says of the scripts in a source, one text for each that it does not take. */
function complaints(source: string): string[] {
  return [...source.matchAll(SCRIPT)].flatMap(([literal]) => {
    const text = String(runInNewContext(literal.replace(FILLED_IN, "word")));
    const shell = text.startsWith("#!/bin/bash") ? "bash" : "sh";
    const { status, stderr } = spawnSync(shell, ["-n"], { input: text, encoding: "utf8" });
    return status === 0 ? [] : [stderr.trim()];
  });
}

test("a shell script in a source parses", () => {
  let count = 0;
  for (const folder of ["src", "test", "script", "bench"]) {
    for (const name of readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })) {
      if (!name.endsWith(".ts")) continue;
      const source = readFileSync(join(ROOT, folder, name), "utf8");
      count += [...source.matchAll(SCRIPT)].length;
      assert.deepEqual(complaints(source), [], join(folder, name));
    }
  }
  assert.ok(count > 5, `${count} scripts were looked at`);
});

test("one that does not is found", () => {
  const literal = (...lines: string[]) => ["`", lines.join("\n"), "`"].join("");
  const filledIn = ["$", "{condition}"].join("");
  const broken = ["#!/bin/bash", 'case "$*" in', "  * word*) true ;; ) false ;;", "esac"];
  assert.equal(complaints(literal(...broken)).length, 1);
  assert.equal(complaints(literal("#!/bin/sh", `if ${filledIn}; then`, ":", "fi")).length, 0);
});
