/** The pages of docs/guide/: each is listed, and the README leads to them. */
// @ts-nocheck

import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { stepsOf } from "../../support/guide/page.ts";

const ROOT = resolve(import.meta.dirname, "../../..");
const GUIDES = join(ROOT, "docs/guide");
const read = (path: string) => readFileSync(join(ROOT, path), "utf8");

test("a page's commands are those behind a prompt in its blocks, without remarks", () => {
  const page = "nas# no\n```\nnas# one 'a # b'   # what\nits output\n\nkeyserver# two\n```\n```sh\nnas# three\n```\n";
  assert.deepEqual(stepsOf(page), [
    { host: "nas", command: "one 'a # b'" },
    { host: "keyserver", command: "two" },
  ]);
});

test("every guide is in the index, beside a test that names it", () => {
  const pages = readdirSync(GUIDES).filter((name) => name !== "README.md");
  const rows = [...read("docs/guide/README.md").matchAll(/^\| \[([\w-]+\.md)\]\(\1\) \|.*\| `(.*)` \|$/gm)];
  assert.deepEqual(rows.map(([, page]) => page).toSorted(), pages.toSorted());
  for (const [, page = "", path = ""] of rows) {
    assert.ok(existsSync(join(ROOT, path)), `${page}: ${path}`);
    if (!path.endsWith(".ts")) continue;
    // A guest's test takes the page's commands one by one, as its machines come and go.
    const ways = [`new Guide("${page.replace(/\.md$/, "")}")`, `guideCommands("${page}")`];
    assert.ok(
      ways.some((way) => read(path).includes(way)),
      `${path} does not follow ${page}`,
    );
  }
});

test("the README leads to the guides", () => {
  assert.ok(read("README.md").includes("(docs/guide/README.md)"));
});
