// @ts-nocheck
import { blsSource } from "./bls.ts";
import { unknown, type WorkBudget } from "./budget.ts";
import { grubCmdline } from "./cmdline.ts";
import { requireNoDevice, uuidOfDevice } from "./device.ts";
import { type DiskShared, GrubDisk } from "./disk.ts";
import { entryWords } from "./entry.ts";
import { type Builtin, Ended, type GrubFunction, Interpreter } from "./interpreter.ts";
import type { Block } from "./script.ts";
import { BAD_ARGUMENT, MENU_ERROR, OK } from "./status.ts";
import type { Variables } from "./variables.ts";
import type { GrubLinux } from "./world.ts";

/** An entry as it stands in a menu: what GRUB keeps of it. */
export interface EntryDraft {
  readonly kind: "entry" | "submenu";
  readonly title: string;
  readonly id: string;
  /** $1 and on, in it. */
  readonly args: readonly string[];
  /** All words behind the command. */
  readonly words: readonly string[];
  readonly source: string;
  /** Whether GRUB begins it with a `setparams` of its own. */
  readonly setsParams: boolean;
  readonly isBls: boolean;
}

/** What is in the machine's hands: a Linux, or something else. */
interface Loaded {
  readonly kernel: { readonly path: string; readonly device: string } | null;
  /** Behind `linux` and `initrd`, as they are. */
  readonly linuxArgs: readonly string[];
  readonly initrds: readonly { readonly path: string; readonly device: string }[];
  readonly initrdArgs: readonly string[];
  readonly isOther: boolean;
}

/** What all runs of one configuration share. */
export interface Shared extends DiskShared {
  /** The commands that there are; null for a name that is none. */
  readonly builtinOf: (machine: GrubMachine, name: string) => Builtin | null;
}

const NOTHING: Loaded = { kernel: null, linuxArgs: [], initrds: [], initrdArgs: [], isOther: false };

/**
 * The machine on which GRUB's script runs: its variables, what it has loaded, the menu that comes
 * about.
 */
export class GrubMachine {
  readonly shared: Shared;
  readonly interpreter: Interpreter;
  readonly entries: EntryDraft[] = [];
  readonly disk: GrubDisk;
  loaded: Loaded = NOTHING;
  hasBls = false;
  /** The menu of a configuration that this one goes over to. */
  next: GrubMachine | null = null;
  #isBooting = false;

  constructor(shared: Shared, variables: Variables, functions: ReadonlyMap<string, GrubFunction>) {
    this.shared = shared;
    this.disk = new GrubDisk(shared, variables);
    this.interpreter = new Interpreter(variables, functions, (name) => shared.builtinOf(this, name), shared.budget);
  }

  get budget(): WorkBudget {
    return this.shared.budget;
  }

  get variables(): Variables {
    return this.interpreter.variables;
  }

  /** Of an unsigned long. */
  get bits(): 32 | 64 {
    return this.shared.world.platform === "pc" ? 32 : 64;
  }

  /** True where it boots without a menu. */
  get isBooting(): boolean {
    return this.#isBooting;
  }

  /** A machine on which an entry is tried: in this context, or in one of its own. */
  fork(isOwnContext: boolean): GrubMachine {
    this.budget.spend(this.interpreter.functions.size);
    const variables = isOwnContext ? this.variables.open() : this.variables.fork();
    const fork = new GrubMachine(this.shared, variables, this.interpreter.functions);
    fork.loaded = this.loaded;
    fork.disk.continueFrom(this.disk);
    const { scope, isContinue, activeLoops, activeBreaks, functionReturn } = this.interpreter;
    Object.assign(fork.interpreter, { scope, isContinue, activeLoops, activeBreaks, functionReturn });
    fork.hasBls = this.hasBls;
    return fork;
  }

  /**
   * Runs until there is nothing more, or until it boots or shows another menu. True where it came
   * to its end.
   */
  untilEnd(run: () => void): boolean {
    try {
      run();
      return true;
    } catch (error) {
      if (error instanceof Ended) return false;
      throw error;
    }
  }

  linux(): GrubLinux | null {
    const { kernel, linuxArgs, initrds } = this.loaded;
    if (kernel === null) return null;
    if (initrds.some(({ device }) => device !== kernel.device))
      throw unknown("loads a kernel and its initramfs from two devices");
    const options = grubCmdline(linuxArgs.slice(1));
    requireNoDevice(options, "has in the kernel's command line");
    const isRelative = this.variables.get("btrfs_relative_path") === "yes";
    const fsUuid = uuidOfDevice(kernel.device);
    const paths = { kernel: kernel.path, initrds: initrds.map(({ path }) => path) };
    return { ...paths, options, fsUuid, ...(isRelative ? { isRelative } : {}) };
  }

  // What the commands do.

  statusOf(what: string): number {
    return this.disk.works(what) ? OK : BAD_ARGUMENT;
  }

  loadLinux(args: readonly string[]): number {
    const [path] = args;
    if (path === undefined) return BAD_ARGUMENT;
    this.loaded = { ...NOTHING, kernel: this.disk.onDevice(path), linuxArgs: args };
    return OK;
  }

  loadInitrd(args: readonly string[]): number {
    if (args.length === 0) return BAD_ARGUMENT;
    // Without a kernel GRUB refuses it.
    if (this.loaded.kernel === null) return BAD_ARGUMENT;
    const files = args.filter((arg) => !arg.startsWith("newc:"));
    if (files.length < args.length) throw unknown("makes an initramfs of its own (newc:)");
    this.loaded = { ...this.loaded, initrds: files.map((path) => this.disk.onDevice(path)), initrdArgs: args };
    return OK;
  }

  loadOther(): number {
    this.loaded = { ...NOTHING, isOther: true };
    return OK;
  }

  boot(): number {
    if (this.loaded.kernel === null && !this.loaded.isOther) return BAD_ARGUMENT;
    this.#isBooting = true;
    throw new Ended();
  }

  leave(): never {
    this.loaded = NOTHING;
    throw new Ended();
  }

  source(args: readonly string[]): number {
    const [path] = args;
    if (path === undefined || args.length !== 1) return BAD_ARGUMENT;
    const text = this.disk.textOf(path);
    if (text !== null) this.#runConfiguration(path, text);
    return OK;
  }

  configfile(args: readonly string[]): number {
    const [path] = args;
    if (path === undefined || args.length !== 1) return BAD_ARGUMENT;
    const text = this.disk.textOf(path);
    if (text === null) return OK;
    const inner = this.fork(true);
    // Functions are known everywhere once they are defined, and what is loaded stays so.
    const isDone = inner.untilEnd(() => inner.#runConfiguration(path, text));
    this.loaded = inner.loaded;
    for (const [name, body] of inner.interpreter.functions) this.interpreter.functions.set(name, body);
    this.disk.continueFrom(inner.disk);
    if (!isDone || inner.entries.length > 0) {
      this.next = inner.next ?? inner;
      this.#isBooting = inner.#isBooting;
      throw new Ended();
    }
    return OK;
  }

  #runConfiguration(path: string, text: string): void {
    const { variables } = this;
    const names = ["config_file", "config_directory"];
    const before = names.map((name) => variables.get(name));
    variables.set("config_file", path);
    variables.set("config_directory", path.slice(0, Math.max(0, path.lastIndexOf("/"))));
    for (const name of names) variables.export(name);
    this.budget.deeper(() => this.interpreter.runFile(text));
    for (const [index, name] of names.entries()) {
      const value = before[index] ?? null;
      if (value === null) variables.unset(name);
      else variables.set(name, value);
    }
  }

  addEntry(kind: "entry" | "submenu", args: readonly string[], block: Block | null): number {
    const words = entryWords(args, block !== null);
    if (typeof words === "number") return words;
    if (words.args.length === 0) return MENU_ERROR;
    this.budget.countEntry();
    const [title = ""] = words.args;
    const own = block === null ? args : args.slice(0, -1);
    this.entries.push({ kind, title, id: words.id ?? title, ...words.run, words: own, isBls: false });
    return OK;
  }

  addBlsEntries(args: readonly string[]): number {
    if (args.length > 0 || this.variables.get("blsdir") !== null)
      throw unknown("asks for some of its BLS entries only");
    this.hasBls = true;
    for (const entry of this.shared.world.blsEntries) {
      this.budget.countEntry();
      const title = entry.title || entry.kernel;
      const source = blsSource(entry, this.variables, this.budget);
      this.entries.push({
        kind: "entry",
        title,
        id: entry.id,
        args: [title],
        words: [],
        source,
        setsParams: false,
        isBls: true,
      });
    }
    return OK;
  }
}
