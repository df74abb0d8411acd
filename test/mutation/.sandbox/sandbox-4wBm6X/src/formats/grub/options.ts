/** An option of a command of GRUB's, as grub-core/lib/arg.c takes it. */
// @ts-nocheck

export interface GrubOption {
  readonly name: string;
  readonly letter: string;
  /** Whether it has a value: never, always, or where one stands behind it. */
  readonly value: "none" | "needed" | "optional";
}

/** What a command was called with: its options, and the rest. */
export interface GrubArguments {
  /** Values of the options that are set, in their order; "" for one without. */
  readonly options: ReadonlyMap<string, readonly string[]>;
  readonly rest: readonly string[];
}

/**
 * Reads what a command is called with. The answer is "refused" where GRUB prints an error, and
 * "help" where it prints its help; it does nothing then.
 * @param acceptsDash whether what looks like an option that is not known is an argument
 */
export function parseGrubArguments(
  args: readonly string[],
  known: readonly GrubOption[],
  acceptsDash = false,
): GrubArguments | "refused" | "help" {
  const parsing = new Parsing(args, [...known, HELP, USAGE], acceptsDash);
  const ending = parsing.all();
  return ending ?? parsing;
}

const HELP: GrubOption = { name: "help", letter: "h", value: "none" };
const USAGE: GrubOption = { name: "usage", letter: "u", value: "none" };

type Ending = "refused" | "help" | null;

class Parsing implements GrubArguments {
  readonly options = new Map<string, string[]>();
  readonly rest: string[] = [];
  readonly #args: readonly string[];
  readonly #known: readonly GrubOption[];
  readonly #acceptsDash: boolean;
  #at = 0;

  constructor(args: readonly string[], known: readonly GrubOption[], acceptsDash: boolean) {
    this.#args = args;
    this.#known = known;
    this.#acceptsDash = acceptsDash;
  }

  all(): Ending {
    for (; this.#at < this.#args.length; this.#at++) {
      const arg = String(this.#args[this.#at]);
      if (!arg.startsWith("-") || arg === "-") this.rest.push(arg);
      else if (arg === "--") {
        for (const more of this.#args.slice(this.#at + 1)) this.rest.push(more);
        return null;
      } else {
        const ending = arg.startsWith("--") ? this.#long(arg) : this.#short(arg);
        if (ending !== null) return ending;
      }
    }
    return null;
  }

  #long(arg: string): Ending {
    const equals = arg.indexOf("=");
    const name = arg.slice(2, equals < 0 ? undefined : equals);
    const option = this.#known.find((one) => one.name === name);
    if (option === undefined) return this.#asArgument(arg);
    if (equals >= 0) return option.value === "none" ? "refused" : this.#set(option, arg.slice(equals + 1));
    const next = this.#args[this.#at + 1];
    if (option.value === "none" || next === undefined || next.startsWith("-")) return this.#withoutValue(option);
    this.#at++;
    return this.#set(option, next);
  }

  #short(arg: string): Ending {
    const found = Array.from(arg.slice(1), (letter) => this.#known.find((one) => one.letter === letter));
    if (this.#acceptsDash && found.includes(undefined)) return this.#asArgument(arg);
    for (const [index, option] of found.entries()) {
      if (option === undefined) return "refused";
      const ending = index < found.length - 1 ? this.#withoutValue(option) : this.#lastLetter(option);
      if (ending !== null) return ending;
    }
    return null;
  }

  #lastLetter(option: GrubOption): Ending {
    const next = this.#args[this.#at + 1];
    if (option.value === "none" || next === undefined) return this.#withoutValue(option);
    if (option.value === "optional" && next.length > 1 && next.startsWith("-")) return this.#set(option, "");
    this.#at++;
    return this.#set(option, next);
  }

  #withoutValue(option: GrubOption): Ending {
    return option.value === "needed" ? "refused" : this.#set(option, "");
  }

  #asArgument(arg: string): Ending {
    if (!this.#acceptsDash) return "refused";
    this.rest.push(arg);
    return null;
  }

  #set(option: GrubOption, value: string): Ending {
    if (option === HELP || option === USAGE) return "help";
    const values = this.options.get(option.name);
    if (values === undefined) this.options.set(option.name, [value]);
    else values.push(value);
    return null;
  }
}
