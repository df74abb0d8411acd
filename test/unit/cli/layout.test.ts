/** Text on a terminal: no line is wider, none is torn, and a list stays a list. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { beside, columnsOf, layOut, MOST_COLUMNS, row } from "../../../src/cli/layout.ts";
import { helpText } from "../../../src/cli/parse.ts";
import { COMMANDS } from "../../../src/cli/registry.ts";

test("a paragraph is broken anew, and what ends a sentence ends a line", () => {
  const text = "One line of many words,\nwhich goes on here.\nAnother begins.\n\nA last:\n  indented words stay";
  assert.equal(
    layOut(text, 20),
    "One line of many\nwords, which goes on\nhere.\nAnother begins.\n\nA last:\n  indented words\n  stay",
  );
  assert.equal(layOut(text, 60).split("\n")[0], "One line of many words, which goes on here.");
});

test("an item stays under itself, whether its name fills its column or not", () => {
  const items = "  one    a text that goes\n         on below\n  longer another text of it\n         and its end";
  assert.equal(
    layOut(items, 24),
    "  one    a text that\n         goes on below\n  longer another text of\n         it and its end",
  );
  assert.equal(layOut("  one    a text of one line", 20), "  one    a text of\n         one line");
  assert.equal(row("--name", 8, "words enough for two", 24), "  --name   words enough\n           for two");
  assert.equal(beside("usage: ", "some words", 13), "usage: some\n       words");
});

test("a word that is wider than the line is not torn", () => {
  assert.equal(layOut("an/address/that/is/long here", 10), "an/address/that/is/long\nhere");
});

test("what is no terminal has lines of a hundred columns; a narrow one breaks them itself", () => {
  assert.deepEqual([undefined, 200, 80, 7].map(columnsOf), [MOST_COLUMNS, MOST_COLUMNS, 80, 40]);
});

test("the help of every command fits", async () => {
  for (const load of Object.values(COMMANDS)) {
    const { command } = await load();
    for (const columns of [80, MOST_COLUMNS]) {
      const wide = helpText(command, columns)
        .split("\n")
        .filter((line) => line.length > columns);
      // A single word may be longer.
      assert.deepEqual(
        wide.filter((line) => line.trim().includes(" ")),
        [],
        command.name,
      );
    }
  }
});
