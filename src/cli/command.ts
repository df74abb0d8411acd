import type { System } from "../system/port.ts";

/** One option of a command. `value` names its argument in help; without it the option is a switch. */
export interface Option {
  readonly name: string;
  /** One letter, for who types it without looking: `n` for -n. */
  readonly short?: string;
  readonly value?: string;
  readonly help: string;
  readonly default?: string;
}

/**
 * A command as data: usage, help, completion and the man page's synopsis are all drawn from it.
 * `name` may have two words ("machine invite"). Every command also takes --json and --help.
 */
export interface Command {
  readonly name: string;
  readonly summary: string;
  /** Positional arguments for the usage line, e.g. "DEV latch [INVITE]". */
  readonly operands?: string;
  readonly minOperands?: number;
  readonly maxOperands?: number;
  readonly options: readonly Option[];
  /** Further help below the options: what it does to the disk, examples. */
  readonly details?: string;
  run(input: CommandInput): Promise<ExitStatus>;
}

export interface CommandInput {
  readonly operands: readonly string[];
  /** Values of the options that were given or have a default. */
  readonly options: Readonly<Record<string, string>>;
  readonly switches: ReadonlySet<string>;
  readonly system: System;
  readonly terminal: Terminal;
}

/** 0 done, 1 failed, 2 wrong usage; the others are in the man page. */
export type ExitStatus = number;

/** Where a command speaks. With --json only `result` reaches stdout, once, as one object. */
export interface Terminal {
  readonly json: boolean;
  /** Whether stdin is a terminal, so that somebody can be asked. */
  readonly isInteractive: boolean;
  /** A line for a person; dropped with --json. */
  line(text: string): void;
  /** The command's outcome for a program; dropped without --json. */
  result(value: Readonly<Record<string, unknown>>): void;
  /**
   * One of many that a command which has no end tells as they come, in the place of `result`;
   * dropped without --json.
   */
  item(value: Readonly<Record<string, unknown>>): void;
  /** False once whoever read standard output has gone. */
  readonly isHeard: boolean;
  /** A hint or progress on stderr, apart from errors. */
  hint(text: string): void;
  /** Reads a line without echo from the controlling terminal, or stdin where that is no terminal.
   *  @throws NightlatchError usage/no-terminal */
  askSecret(prompt: string): Promise<import("../core/secret.ts").Secret>;
  /** Whether a person agrees, asked on stderr and answered on stdin; true where stdin is no terminal, for then nobody can be asked. */
  confirm(question: string): Promise<boolean>;
  /** All of stdin, for `--key-file -` and `-` operands. */
  readInput(limitBytes: number): Promise<import("../core/secret.ts").Secret>;
  /** Aborted by SIGINT and SIGTERM. */
  readonly signal: AbortSignal;
}
