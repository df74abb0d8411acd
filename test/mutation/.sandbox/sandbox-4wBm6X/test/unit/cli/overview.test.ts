// @ts-nocheck
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { familyOf } from "../../../src/cli/find.ts";
import { familyOverview, overview } from "../../../src/cli/overview.ts";
import { COMMANDS } from "../../../src/cli/registry.ts";
import { COMMAND } from "../../support/serve.ts";

const FAMILIES = [...new Set(Object.keys(COMMANDS).map((name) => name.split(" ")[0] ?? ""))].filter(
  (word) => familyOf(word).length > 0,
);

function run(...args: string[]): Promise<{ status: unknown; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(COMMAND, args, (error, stdout, stderr) => resolve({ status: error?.code ?? 0, stdout, stderr }));
  });
}

test("the overview has every command, and a family's has its own", async () => {
  const all = await overview();
  for (const name of Object.keys(COMMANDS)) assert.match(all, new RegExp(`^  ${name} +\\S`, "m"));
  assert.deepEqual(FAMILIES.sort(), [
    "audit",
    "group",
    "machine",
    "oneshot",
    "receipt",
    "recovery",
    "request",
    "site",
    "store",
    "witness",
  ]);
  for (const family of FAMILIES) {
    const rows = (await familyOverview(family)).split("\n").filter((line) => line.startsWith("  "));
    assert.equal(rows.length, familyOf(family).length);
    for (const row of rows) assert.ok(all.includes(row));
  }
});

test("a family of commands has its help, and alone is wrong usage", async () => {
  // One way of asking for each, in turn: all ways of all are half a minute of starts.
  const asks = [["--help"], ["help"], []];
  for (const [index, family] of FAMILIES.entries()) {
    const words = asks[index % asks.length] ?? [];
    const told = { status: words.length > 0 ? 0 : 2, stdout: await familyOverview(family), stderr: "" };
    assert.deepEqual(await run(family, ...words), told);
  }
  const wrong = await run("machine", "nosuch");
  assert.equal(wrong.status, 2);
  assert.match(
    wrong.stderr,
    /there is no command "machine nosuch" \[usage\/wrong\]\n {2}There are: machine invite, machine uninvite,/,
  );
});
