// @ts-nocheck
import type { Secret } from "../core/secret.ts";
import type { System } from "../system/port.ts";

/** An option of a command, under its name. Without `value` it is a flag. */
export type Option = Flag | ValuedOption;

interface Flag {
  /** One letter, for whoever types it without looking: `n` for -n. */
  readonly short?: string;
  readonly help: string;
  readonly value?: never;
  readonly default?: never;
}

interface ValuedOption {
  readonly short?: string;
  readonly help: string;
  /** Names the option's argument in the help. */
  readonly value: string;
  readonly default?: string;
}

/** A command's options by their names, in the order of the help. */
export type Options = Readonly<Record<string, Option>>;

/**
 * What a command gets of the options that it declares: a text where there is a default, else a text
 * or undefined; of a flag, whether it was given.
 */
export type OptionValues<O extends Options> = { readonly [Name in keyof O]: OptionValue<O[Name]> };

type OptionValue<O extends Option> = O extends { readonly value: string }
  ? O extends { readonly default: string }
    ? string
    : string | undefined
  : boolean;

/**
 * A command as data: usage, help, completion and the man page's synopsis are all drawn from it.
 * `name` may have two words ("machine invite"). Every command also takes --json and --help.
 */
export interface Command<O extends Options = Options> {
  readonly name: string;
  readonly summary: string;
  /** Positional arguments for the usage line, e.g. "DEV latch [INVITE]". */
  readonly operands?: string;
  readonly minOperands?: number;
  readonly maxOperands?: number;
  readonly options: O;
  /** Further help below the options: what it does to the disk, examples. */
  readonly details?: string;
  run(input: CommandInput<O>): Promise<ExitStatus>;
}

/**
 * Gives the same command. Its `run` knows the options by their declaration: a mistyped name does
 * not compile.
 */
export const defineCommand = <const O extends Options>(command: Command<O>): Command<O> => command;

/** What a command is run with. */
export interface CommandInput<O extends Options = Options> {
  readonly operands: readonly string[];
  readonly options: OptionValues<O>;
  readonly system: System;
  readonly terminal: Terminal;
}

/** 0 done, 1 failed, 2 wrong usage; the others are in the man page. */
export type ExitStatus = number;

/** A terminal's screen. */
export interface Screen {
  readonly columns: number;
  readonly rows: number;
  /** Whether it is known to show colours and the characters of UTF-8. */
  readonly drawsBlocks: boolean;
}

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
  /** False once the reader of standard output has gone. */
  readonly isHeard: boolean;
  /** A hint or progress on stderr, apart from errors. */
  hint(text: string): void;
  /**
   * Reads a line without echo from the controlling terminal, or stdin where that is no terminal.
   * @throws NightlatchError usage/no-terminal
   */
  askSecret(prompt: string): Promise<Secret>;
  /**
   * Whether a person agrees, asked on stderr and answered on stdin; true where stdin is no
   * terminal, for then nobody can be asked.
   */
  confirm(question: string): Promise<boolean>;
  /** All of stdin, for `--key-file -` and `-` operands. */
  readInput(limitBytes: number): Promise<Secret>;
  /** Whether there is a controlling terminal, on which `showOnce` can show something. */
  readonly hasScreen: boolean;
  /**
   * Shows what is to stay nowhere: on the controlling terminal, on a screen of its own, which is
   * wiped when a person presses Enter.
   * @param compose gives the bytes for a screen of that kind; they are wiped
   * @throws NightlatchError usage/no-terminal, usage/cancelled
   */
  showOnce(compose: (screen: Screen) => Buffer): Promise<void>;
  /**
   * Writes bytes to standard output as they are, and waits until they are taken.
   * @throws NightlatchError file/io
   */
  print(bytes: Uint8Array): Promise<void>;
  /** Aborted by SIGINT and SIGTERM. */
  readonly signal: AbortSignal;
}
