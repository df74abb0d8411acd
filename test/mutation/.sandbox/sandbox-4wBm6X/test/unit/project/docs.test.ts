// @ts-nocheck
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { test } from "node:test";

const ROOT = resolve(import.meta.dirname, "../../..");
const DECISIONS = join(ROOT, "docs/decisions");

const decisions = () => readdirSync(DECISIONS).filter((name) => name !== "README.md");

test("every decision has a number of its own", () => {
  const numbers = decisions().map((name) => name.slice(0, 3));
  const twice = numbers.filter((number, index) => numbers.indexOf(number) !== index);
  assert.deepEqual(twice, []);
});

test("the index of decisions has every one, once", () => {
  const index = readFileSync(join(DECISIONS, "README.md"), "utf8");
  const listed = [...index.matchAll(/^\| \[\d{3}\]\(([^)]+)\)/gm)].map(([, page]) => page);
  assert.deepEqual(listed.toSorted(), decisions().toSorted());
});

test("a page of docs/ that source or documentation names is there", () => {
  const wrong: string[] = [];
  for (const folder of ["src", "test", "docs", "bench", "script", "packaging"]) {
    for (const name of readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })) {
      if (!/\.(?:ts|cjs|md|service|socket)$/.test(name)) continue;
      const text = readFileSync(join(ROOT, folder, name), "utf8");
      for (const [page] of text.matchAll(/\bdocs\/(?:decisions|format)\/[\w-]+\.md/g)) {
        if (readdirSync(join(ROOT, page, "..")).includes(String(page.split("/").at(-1)))) continue;
        wrong.push(`${relative(ROOT, join(ROOT, folder, name))} names ${page}`);
      }
    }
  }
  assert.deepEqual(wrong, []);
});

test("every test that the table of threats names is there", () => {
  const page = readFileSync(join(ROOT, "docs/threats.md"), "utf8");
  const named = [...page.matchAll(/`((?:unit|interop|guest)\/[\w/-]+)`/g)].map(([, name]) => `test/${name}.test.ts`);
  assert.ok(named.length > 40);
  assert.deepEqual(
    named.filter((name) => !existsSync(join(ROOT, name))),
    [],
  );
});
