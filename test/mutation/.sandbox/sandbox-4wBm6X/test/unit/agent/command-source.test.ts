// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import { commandSource } from "../../../src/agent/command-source.ts";
import { isError, NightlatchError } from "../../../src/core/errors.ts";
import type { KeyCommand } from "../../../src/formats/own/agent-config.ts";
import type { Exit, RunRequest } from "../../../src/system/port.ts";

const signal = new AbortController().signal;
const CURL: KeyCommand = {
  argv: ["curl", "--fail", "https://keys.example.org/v"],
  timeoutMs: 20_000,
  stripNewline: false,
  refusalStatuses: [22],
};

const exit = (status: number | null, stdout: string, more: Partial<Exit> = {}): Exit => ({
  status,
  signal: null,
  stdout: Buffer.from(stdout),
  stderr: Buffer.from("curl: SWORDFISH"),
  ...more,
});

function ran(outcome: Exit | NightlatchError) {
  const commands: RunRequest[] = [];
  const run = async (command: RunRequest) => {
    commands.push(command);
    if (outcome instanceof NightlatchError) throw outcome;
    return outcome;
  };
  return { commands, power: { run } };
}

test("it is run as it was written, with its own time or what is left", async () => {
  for (const [timeoutMs, expectedMs] of [
    [60_000, 20_000],
    [3000, 3000],
  ] as const) {
    const { power, commands } = ran(exit(0, "key"));
    await commandSource(power, CURL).attempt({ timeoutMs, signal });
    assert.deepEqual(commands, [{ argv: CURL.argv, timeoutMs: expectedMs, outputLimitBytes: 8 << 20, signal }]);
  }
});

test("a line feed at the end is kept or not, as the user says; what was printed is wiped", async () => {
  const cases = [
    ["key\n", false, "key\n"],
    ["key\n", true, "key"],
    ["key\n\n", true, "key\n"],
    ["key\r\n", true, "key\r"],
    ["key", true, "key"],
    ["\nkey", true, "\nkey"],
  ] as const;
  for (const [printed, stripNewline, expected] of cases) {
    const outcome = exit(0, printed);
    const secret = await commandSource(ran(outcome).power, { ...CURL, stripNewline }).attempt({
      timeoutMs: 1,
      signal,
    });
    assert.equal(secret.reveal().toString(), expected);
    assert.ok(outcome.stdout.every((byte) => byte === 0));
    assert.ok(outcome.stderr.every((byte) => byte === 0));
  }
});

test("failures: which are worth another attempt, and none quotes what the command said", async () => {
  const cases: readonly (readonly [Exit | NightlatchError, string, boolean])[] = [
    [exit(6, "SWORDFISH"), "curl ended with status 6", true],
    [exit(null, "SWORDFISH", { signal: "SIGSEGV" }), "curl was ended by SIGSEGV", true],
    [exit(0, ""), "curl printed no key", true],
    [exit(22, "SWORDFISH"), "curl refused the key (status 22)", false],
    [new NightlatchError("system/timeout", "late"), "late", true],
    [new NightlatchError("system/output-too-large", "much"), "much", true],
    [new NightlatchError("system/missing-program", "none"), "none", false],
  ];
  for (const [outcome, message, again] of cases) {
    const source = commandSource(ran(outcome).power, CURL);
    await assert.rejects(source.attempt({ timeoutMs: 1, signal }), (error) => {
      assert.ok(error instanceof NightlatchError);
      assert.equal(error.message, message);
      assert.equal(source.isWorthRetrying(error), again, message);
      assert.ok(!JSON.stringify({ ...error, message: error.message, stack: error.stack }).includes("SWORDFISH"));
      return true;
    });
  }
});

test("an empty line is no key once its line feed is taken off", async () => {
  const source = commandSource(ran(exit(0, "\n")).power, { ...CURL, stripNewline: true });
  await assert.rejects(source.attempt({ timeoutMs: 1, signal }), (error) => isError(error, "agent/command-failed"));
});
