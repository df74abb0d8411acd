// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import { defineCommand } from "../../../src/cli/command.ts";
import { STATE_OPTION, stateFolderOf } from "../../../src/cli/volume/input.ts";
import { nodeSystem } from "../../../src/system/node.ts";
import { runCommand } from "../../support/terminal.ts";

/**
 * That what is expected here fails to compile is for tsc to see: it refuses an expectation that
 * does not.
 */
const command = defineCommand({
  name: "open",
  summary: "opens a thing",
  options: {
    "key-file": { value: "FILE", help: "where the key is" },
    state: STATE_OPTION,
    test: { help: "only try" },
  },
  async run({ options, terminal }) {
    const withDefault: string = options.state;
    const withoutDefault: string | undefined = options["key-file"];
    const flag: boolean = options.test;
    // : a name that is not declared
    const mistyped: unknown = options.sate;
    // : the same where it is no identifier
    const hyphenated: unknown = options["key-fle"];
    // : without a default it may be absent
    const absent: string = options["key-file"];
    // : a flag is no text
    const text: string | undefined = options.test;
    terminal.result({ withDefault, withoutDefault, flag, mistyped, hyphenated, absent, text });
    return 0;
  },
});

// : a flag takes nothing, so it has no default
defineCommand({ name: "", summary: "", options: { test: { help: "", default: "on" } }, run: async () => 0 });

test("a command gets its options by the names and with the types that it declares", async () => {
  const { result } = await runCommand(command, ["--key-file", "x", "--test", "--state=/s"], nodeSystem);
  assert.deepEqual(result, {
    withDefault: "/s",
    withoutDefault: "x",
    flag: true,
    mistyped: undefined,
    hyphenated: undefined,
    absent: "x",
    text: true,
  });
});

test("a state folder is named without the slash at its end", () => {
  assert.deepEqual(["/s/", "/s", "/"].map(stateFolderOf), ["/s", "/s", "/"]);
});
