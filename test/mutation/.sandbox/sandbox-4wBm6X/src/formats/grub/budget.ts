// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";

/**
 * What a configuration may cost: characters looked at or made, and a charge for each token and
 * command.
 */
export const MAX_WORK = 8 << 20;
/** The charge for a token or a command, in characters: about what it holds in memory. */
export const TOKEN_WORK = 32;
const MAX_ENTRIES = 1000;
const MAX_DEPTH = 32;

/**
 * What one run of a configuration has cost, shared by its submenus and entries. All that is held in
 * memory was made by work, so that a bound on work is a bound on memory, too. GRUB has no such
 * bounds, so what passes them is refused.
 */
export class WorkBudget {
  readonly #spent: { work: number };
  #entries = 0;
  #depth = 0;

  /** @param spent where the work is counted */
  constructor(spent: { work: number } = { work: 0 }) {
    this.#spent = spent;
  }

  /** @throws NightlatchError grub/malformed */
  spend(work: number): void {
    this.#spent.work += work;
    if (this.#spent.work > MAX_WORK) throw malformed(`takes more than ${MAX_WORK} units of work`);
  }

  /** @throws NightlatchError grub/malformed */
  countEntry(): void {
    if (++this.#entries > MAX_ENTRIES) throw malformed(`has more than ${MAX_ENTRIES} entries`);
  }

  /** Runs what calls, includes or nests. @throws NightlatchError grub/malformed */
  deeper<T>(inside: () => T): T {
    if (this.#depth >= MAX_DEPTH) throw malformed(`is nested, calls or includes deeper than ${MAX_DEPTH}`);
    this.#depth++;
    try {
      return inside();
    } finally {
      this.#depth--;
    }
  }
}

/**
 * Makes the error for a configuration that GRUB would not take. `how` completes "the GRUB
 * configuration".
 */
export function malformed(how: string): NightlatchError {
  return new NightlatchError("grub/malformed", `the GRUB configuration ${how}`);
}

/**
 * Makes the error for a configuration of which it cannot be told from here what GRUB would do.
 * `how` completes "the GRUB configuration".
 */
export function unknown(how: string): NightlatchError {
  return new NightlatchError("grub/unknown", `the GRUB configuration ${how}`, {
    meaning: "What the machine's next boot would do cannot be told. Nothing was changed.",
    remedy: "Name what to boot: --kernel, --initrd and --cmdline.",
  });
}
