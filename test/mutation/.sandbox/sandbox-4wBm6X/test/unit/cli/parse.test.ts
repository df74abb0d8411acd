// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import { defineCommand } from "../../../src/cli/command.ts";
import { helpText, parseArguments } from "../../../src/cli/parse.ts";
import { describeFailure } from "../../../src/cli/report.ts";
import { NightlatchError } from "../../../src/core/errors.ts";

const command = defineCommand({
  name: "open",
  summary: "Opens a thing.",
  operands: "DEV [NAME]",
  minOperands: 1,
  maxOperands: 2,
  options: {
    "key-file": { value: "FILE", help: "where the key is" },
    state: { value: "DIR", help: "state folder", default: "/var/lib/x" },
    test: { short: "t", help: "only try" },
  },
  run: async () => 0,
});

const wrong = (message: string) => ({
  code: "usage/wrong",
  message: `open: ${message}`,
  remedy: "See: nightlatch open --help",
});

test("options, flags, defaults and operands are told apart", () => {
  const invocation = parseArguments(command, ["/dev/vdb", "--test", "--key-file=-", "name"]);
  assert.deepEqual(invocation, {
    operands: ["/dev/vdb", "name"],
    options: { "key-file": "-", state: "/var/lib/x", test: true },
    asksHelp: false,
  });
  const bare = { operands: ["/dev/vdb"], options: { "key-file": undefined, state: "/var/lib/x", test: false } };
  assert.deepEqual(parseArguments(command, ["/dev/vdb"]), { ...bare, asksHelp: false });
});

test("an option may have a letter", () => {
  assert.ok(parseArguments(command, ["a", "-t"]).options.test);
  assert.throws(() => parseArguments(command, ["a", "-x"]), wrong("Unknown option '-x'"));
  assert.throws(
    () => parseArguments(command, ["-x7Idx7Idx7Idx7Idx7Idx"]),
    (error: NightlatchError) =>
      error.remedy?.endsWith("--help A word that begins with a dash goes last, behind --: -- -x7Idx7Idx7Idx7Idx7Idx"),
  );
  assert.throws(() => parseArguments(command, ["-xpassphrase"]), wrong("Unknown option '-x'"));
  assert.deepEqual(parseArguments(command, ["--", "-x7Idx7Idx7Idx7Idx7Idx"]).operands, ["-x7Idx7Idx7Idx7Idx7Idx"]);
});

test("a lone dash is an operand, and so is everything after two", () => {
  assert.deepEqual(parseArguments(command, ["-", "--", "--test"]).operands, ["-", "--test"]);
});

test("wrong usage says what is wrong and where to look", () => {
  assert.throws(() => parseArguments(command, []), wrong("an argument is missing"));
  assert.throws(() => parseArguments(command, ["a", "b", "c"]), wrong("too many arguments"));
  assert.throws(() => parseArguments(command, ["a", "--unknown"]), wrong("Unknown option '--unknown'"));
  assert.throws(() => parseArguments(command, ["a", "--key-file"]), { code: "usage/wrong" });
  assert.throws(() => parseArguments(command, ["a", "--test=yes"]), { code: "usage/wrong" });
});

test("--help needs no operands", () => {
  assert.ok(parseArguments(command, ["--help"]).asksHelp);
});

test("help shows every option with its default", () => {
  assert.equal(
    helpText(command),
    `usage: nightlatch open DEV [NAME] [OPTIONS]

Opens a thing.

  --key-file FILE          where the key is
  --state DIR              state folder (default /var/lib/x)
  -t, --test               only try
  --json                   one JSON object on stdout instead of text
  --help                   show this help
`,
  );
});

test("a failure tells what happened, what it means and what to do; usage is status 2", () => {
  const failure = new NightlatchError("file/full", "it is full", {
    meaning: "Nothing was lost.",
    remedy: "Make room.",
  });
  assert.deepEqual(describeFailure(failure), {
    text: "nightlatch: it is full [file/full]\n  Nothing was lost.\n  Make room.",
    json: {
      ok: false,
      error: { code: "file/full", message: "it is full", meaning: "Nothing was lost.", remedy: "Make room." },
    },
    status: 1,
  });
  assert.equal(describeFailure(new NightlatchError("usage/wrong", "no")).status, 2);
});

test("a defect shows its kind and its place, and nothing that it says", () => {
  const { text, json, status } = describeFailure(new TypeError("the key bytes", { cause: "more of them" }));
  assert.match(
    text,
    /^nightlatch: internal error: TypeError at test\/unit\/cli\/parse\.test\.ts:\d+:\d+\n {2}This is a defect/,
  );
  assert.match(text, /\n {2}Please report it .*NIGHTLATCH_DEBUG=1/);
  assert.doesNotMatch(text + JSON.stringify(json), /bytes|more of/);
  assert.equal((json["error"] as { code: string }).code, "internal");
  assert.equal(status, 1);
});
