/** What stands in node:crypto's place in the agent's program has all that its sources import. */
// @ts-nocheck

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { importsIn, SRC } from "../../support/imports.ts";

const IMPORT = /^import \{([^}]*)\} from "node:crypto";/gm;
const textOf = (file: string): string => readFileSync(join(SRC, file), "utf8");

/** The values, without types, that a source imports of node:crypto. */
const valuesIn = (text: string): string[] =>
  [...text.matchAll(IMPORT)].flatMap(([, names = ""]) =>
    names
      .split(",")
      .map((name) => name.trim())
      .filter((name) => name !== "" && !name.startsWith("type "))
      .map((name) => String(name.split(" as ")[0])),
  );

/** All that a source leads to. */
function reachedFrom(entry: string): Set<string> {
  const imports = importsIn(SRC);
  const reached = new Set([entry]);
  for (const file of reached) for (const { from, to } of imports) if (from === file) reached.add(to);
  return reached;
}

test("the agent finds every function of node:crypto that its sources name", () => {
  const exported = new Set(
    [...textOf("system/native/quick-crypto.ts").matchAll(/^export (?:const|function) (\w+)/gm)].map(([, name]) => name),
  );
  const files = [...reachedFrom("agent-main.ts")].filter((file) => file.endsWith(".ts"));
  assert.ok(files.length > 50, "the sources were found");
  const missing = files.flatMap((file) =>
    valuesIn(textOf(file)).flatMap((name) => (exported.has(name) ? [] : [`${file}: ${name}`])),
  );
  assert.deepEqual(missing, []);
});

test("a function that is missing there is found", () => {
  assert.deepEqual(valuesIn('import { type KeyObject, scrypt, sign as signs } from "node:crypto";\n'), [
    "scrypt",
    "sign",
  ]);
});
