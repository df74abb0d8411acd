// @ts-nocheck
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { ERROR_CODES } from "../../../src/core/errors.ts";

const ROOT = resolve(import.meta.dirname, "../../..");
const CODE = /`([a-z0-9-]+\/[a-z0-9-]+)`/g;

test("docs/errors.md explains every code, and no other", () => {
  const rows = readFileSync(join(ROOT, "docs/errors.md"), "utf8")
    .split("\n")
    .filter((line) => line.startsWith("| `"));
  const explained = rows.flatMap((row) => [...String(row.split("|")[1]).matchAll(CODE)].map(([, code]) => code));
  assert.deepEqual(explained.toSorted(), [...ERROR_CODES].toSorted());
});

test("every code is used", () => {
  const sources = readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts") && file !== "core/errors.ts")
    .map((file) => readFileSync(join(ROOT, "src", file), "utf8"))
    .join("\n");
  assert.deepEqual(
    ERROR_CODES.filter((code) => !sources.includes(`"${code}"`)),
    [],
  );
});
