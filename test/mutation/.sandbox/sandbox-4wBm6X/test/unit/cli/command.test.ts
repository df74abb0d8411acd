// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import { completionScript } from "../../../script/completion.ts";
import { manualPage } from "../../../script/manual.ts";
import { defineCommand } from "../../../src/cli/command.ts";
import { findCommand } from "../../../src/cli/find.ts";
import { familyOverview, overview } from "../../../src/cli/overview.ts";
import { helpText, parseArguments } from "../../../src/cli/parse.ts";
import { COMMANDS, type Commands } from "../../../src/cli/registry.ts";
import { isError } from "../../../src/core/errors.ts";
import { nodeSystem } from "../../../src/system/node.ts";
import { runCommand } from "../../support/terminal.ts";

// What CONTRIBUTING says of a new command: its declaration, and its line in the registry.
const command = defineCommand({
  name: "lamp dim",
  summary: "make a lamp darker",
  operands: "LAMP",
  minOperands: 1,
  maxOperands: 1,
  options: { to: { value: "PERCENT", help: "how bright it is then", default: "50" } },
  async run({ operands, options, terminal }) {
    terminal.result({ ok: true, lamp: operands[0] ?? "", to: Number(options.to) });
    return 0;
  },
});
const commands: Commands = { ...COMMANDS, "lamp dim": async () => ({ command }) };

test("a new command is its declaration and a line: it is found, parsed and run", async () => {
  const found = await findCommand(["lamp", "dim", "--to", "20", "desk"], commands);
  assert.equal(found.command, command);
  assert.deepEqual(parseArguments(found.command, found.rest).operands, ["desk"]);
  assert.deepEqual((await runCommand(command, found.rest, nodeSystem)).result, { ok: true, lamp: "desk", to: 20 });
  await assert.rejects(findCommand(["lamp", "off"], commands), (error: unknown) => {
    assert.ok(isError(error, "usage/wrong"));
    return error.remedy === "There are: lamp dim.";
  });
});

test("its help, its line in the overviews, the manual page and the completion come of the declaration", async () => {
  const line = /^ {2}lamp dim +make a lamp darker$/m;
  assert.match(await overview(commands), line);
  assert.match(await familyOverview("lamp", commands), line);
  assert.doesNotMatch(await overview(), line);
  assert.match(helpText(command), /LAMP[\s\S]*--to PERCENT +how bright it is then/);
  const page = manualPage("@COMMANDS@\n@VERSION@ @DATE@", [command], { version: "1", date: "2026-01-01" });
  assert.match(page, /^\.SS "lamp dim"$[\s\S]*Make a lamp darker\./m);
  const script = completionScript("# @FIRST@\n# @GROUPS@\n# @COMMANDS@", [command]);
  assert.match(script, /lamp\) words='dim' ;;/);
  assert.match(script, /'lamp dim'\) options='--to[^']*' valued='--to'/);
});
