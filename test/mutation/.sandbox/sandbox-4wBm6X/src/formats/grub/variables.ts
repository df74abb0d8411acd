// @ts-nocheck
import { TOKEN_WORK, unknown, type WorkBudget } from "./budget.ts";

interface Variable {
  /** Null for a value that nobody here knows. */
  readonly value: string | null;
  readonly exported: boolean;
}

/** Variables that GRUB watches: to unset one sets it to "" (grub-core/kern/env.c). */
const WATCHED = new Set(["root", "prefix", "pager", "color_normal", "color_highlight", "lang", "locale_dir", "theme"]);

/** GRUB's environment in one context (grub-core/normal/context.c). */
export class Variables {
  readonly #own = new Map<string, Variable | null>();
  readonly #base: Variables | null;
  readonly #budget: WorkBudget;

  /** @param base what holds where nothing is set here; it does not change any more */
  constructor(budget: WorkBudget, base: Variables | null = null) {
    this.#budget = budget;
    this.#base = base;
  }

  /** @throws NightlatchError grub/unknown */
  get(name: string): string | null {
    const found = this.#find(name);
    if (found === null) return null;
    if (found.value === null) throw unknown(`depends on the value of ${name}, which is not known here`);
    return found.value;
  }

  set(name: string, value: string | null): void {
    this.#budget.spend(TOKEN_WORK + name.length + (value?.length ?? 0));
    const isRoot = name === "root" && value !== null && value.length > 1;
    const kept = isRoot && value.startsWith("(") && value.endsWith(")") ? value.slice(1, -1) : value;
    this.#own.set(name, { value: kept, exported: this.#find(name)?.exported ?? false });
  }

  unset(name: string): void {
    if (WATCHED.has(name)) this.set(name, "");
    else if (this.#find(name) !== null) this.#own.set(name, null);
  }

  export(name: string): void {
    this.#own.set(name, { value: this.#find(name)?.value ?? "", exported: true });
  }

  /**
   * Another context, which begins with what is exported: that of a submenu, or of another
   * configuration.
   */
  open(): Variables {
    const inner = new Variables(this.#budget);
    for (const [name, { value, exported }] of this.#all()) {
      this.#budget.spend(TOKEN_WORK);
      if (!exported) continue;
      inner.set(name, value);
      inner.export(name);
    }
    return inner;
  }

  /** The same context, in which something is tried. */
  fork(): Variables {
    return new Variables(this.#budget, this);
  }

  /** What is known, by name. */
  known(): Map<string, string> {
    return new Map([...this.#all()].flatMap(([name, { value }]) => (value === null ? [] : [[name, value] as const])));
  }

  #find(name: string): Variable | null {
    const own = this.#own.get(name);
    if (own !== undefined) return own;
    return this.#base === null ? null : this.#base.#find(name);
  }

  #all(): Map<string, Variable> {
    const all = this.#base === null ? new Map<string, Variable>() : this.#base.#all();
    for (const [name, variable] of this.#own) {
      if (variable === null) all.delete(name);
      else all.set(name, variable);
    }
    return all;
  }
}
