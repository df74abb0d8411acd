// @ts-nocheck
import assert from "node:assert/strict";
import type { Command, ExitStatus, Terminal } from "../../src/cli/command.ts";
import { parseArguments } from "../../src/cli/parse.ts";
import { Secret } from "../../src/core/secret.ts";
import type { System } from "../../src/system/port.ts";

/** What a command said, and how it ended. */
export interface Spoken {
  readonly status: ExitStatus;
  readonly lines: readonly string[];
  readonly hints: readonly string[];
  readonly result: Readonly<Record<string, unknown>>;
}

/** What was said before a command threw. */
export interface Overheard {
  readonly lines: string[];
  readonly hints: string[];
}

export interface Person {
  /**
   * What is typed at the passphrase prompt: the same each time, or one after the other, each taken
   * out.
   */
  readonly passphrase?: string | string[];
  /** Answers every question; without it nobody is there to be asked. */
  readonly agrees?: boolean;
  /** Has a terminal that shows things: takes each, in place of a person who presses Enter. */
  readonly sees?: (shown: Buffer) => void;
  /** Takes what goes to standard output as it is. */
  readonly takes?: (printed: Buffer) => void;
  /** Takes what is said as it is said. */
  readonly hears?: Overheard;
}

/**
 * Runs a command in this process, on a system of the test's choice. Throws what the command throws.
 */
export async function runCommand(
  command: Command,
  args: readonly string[],
  system: System,
  person: Person = {},
): Promise<Spoken> {
  const { lines, hints } = person.hears ?? { lines: [], hints: [] };
  let result: Readonly<Record<string, unknown>> | undefined;
  const terminal: Terminal = {
    json: false,
    isInteractive: person.agrees !== undefined,
    line: (text) => lines.push(text),
    hint: (text) => hints.push(text),
    result: (value) => {
      assert.equal(result, undefined, "a program was told two outcomes");
      result = value;
    },
    item: () => {},
    isHeard: true,
    confirm: async () => person.agrees ?? true,
    askSecret: async () => {
      const { passphrase } = person;
      const typed = Array.isArray(passphrase) ? passphrase.shift() : passphrase;
      if (typed === undefined) throw new Error("a passphrase was asked for");
      return Secret.copy(Buffer.from(typed));
    },
    readInput: async () => {
      throw new Error("standard input was read");
    },
    hasScreen: person.sees !== undefined,
    showOnce: async (compose) => {
      if (person.sees === undefined) throw new Error("something was to be shown");
      const shown = compose({ columns: 80, rows: 24, drawsBlocks: true });
      person.sees(Buffer.from(shown));
      shown.fill(0);
    },
    print: async (bytes) => {
      if (person.takes === undefined) throw new Error("something was printed");
      person.takes(Buffer.from(bytes));
    },
    signal: new AbortController().signal,
  };
  const { operands, options } = parseArguments(command, args);
  try {
    return { status: await command.run({ operands, options, system, terminal }), lines, hints, result: result ?? {} };
  } catch (error) {
    assert.equal(result, undefined, "a program was told an outcome before the error");
    throw error;
  }
}
