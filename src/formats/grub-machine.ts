import { blsSource } from "./grub-bls.ts";
import { type Budget, unknown } from "./grub-budget.ts";
import { grubCmdline } from "./grub-cmdline.ts";
import { requireNoDevice, splitDevice, uuidOfDevice } from "./grub-device.ts";
import { entryWords } from "./grub-entry.ts";
import {
  BAD_ARGUMENT,
  BAD_FILE_TYPE,
  type Builtin,
  Ended,
  FILE_NOT_FOUND,
  type GrubFunction,
  Interpreter,
  MENU_ERROR,
  OK,
} from "./grub-interpreter.ts";
import type { GrubArguments } from "./grub-options.ts";
import type { Block } from "./grub-script.ts";
import type { Variables } from "./grub-variables.ts";
import { type GrubFileKind, type GrubLinux, type GrubTrace, type GrubWorld, START_DEVICE } from "./grub-world.ts";
import { type EnvironmentFile, readGrubenv } from "./grubenv.ts";

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
export interface Shared {
  readonly world: GrubWorld;
  readonly budget: Budget;
  readonly trace: GrubTrace;
  /** The commands that there are; null for a name that is none. */
  readonly builtinOf: (machine: GrubMachine, name: string) => Builtin | null;
}

const NOTHING: Loaded = { kernel: null, linuxArgs: [], initrds: [], initrdArgs: [], isOther: false };

/** The machine on which GRUB's script runs: its variables, what it has loaded, the menu that comes about. */
export class GrubMachine {
  readonly shared: Shared;
  readonly interpreter: Interpreter;
  readonly entries: EntryDraft[] = [];
  /** What was saved, by name; null for what was taken out. By the key of their file. */
  readonly saved = new Map<string, Map<string, string | null>>();
  loaded: Loaded = NOTHING;
  hasBls = false;
  /** The menu of a configuration that this one goes over to. */
  next: GrubMachine | null = null;
  #isBooting = false;

  constructor(shared: Shared, variables: Variables, functions: ReadonlyMap<string, GrubFunction>) {
    this.shared = shared;
    this.interpreter = new Interpreter(variables, functions, (name) => shared.builtinOf(this, name), shared.budget);
  }

  get budget(): Budget {
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
    for (const [file, values] of this.saved) fork.saved.set(file, new Map(values));
    const { scope, isContinue, activeLoops, activeBreaks, functionReturn } = this.interpreter;
    Object.assign(fork.interpreter, { scope, isContinue, activeLoops, activeBreaks, functionReturn });
    fork.hasBls = this.hasBls;
    return fork;
  }

  /** Runs until there is nothing more, or until it boots or shows another menu. True where it came to its end. */
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

  /** Whether a doubtful thing is taken to work. */
  works(what: string): boolean {
    this.shared.trace.doubts.add(what);
    return this.shared.world.doubtsFail !== true;
  }

  statusOf(what: string): number {
    return this.works(what) ? OK : BAD_ARGUMENT;
  }

  loadLinux(args: readonly string[]): number {
    const [path] = args;
    if (path === undefined) return BAD_ARGUMENT;
    this.loaded = { ...NOTHING, kernel: this.#onDevice(path), linuxArgs: args };
    return OK;
  }

  loadInitrd(args: readonly string[]): number {
    if (args.length === 0) return BAD_ARGUMENT;
    // Without a kernel GRUB refuses it.
    if (this.loaded.kernel === null) return BAD_ARGUMENT;
    const files = args.filter((arg) => !arg.startsWith("newc:"));
    if (files.length < args.length) throw unknown("makes an initramfs of its own (newc:)");
    this.loaded = { ...this.loaded, initrds: files.map((path) => this.#onDevice(path)), initrdArgs: args };
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
    const text = this.#textOf(path);
    if (text !== null) this.#runConfiguration(path, text);
    return OK;
  }

  configfile(args: readonly string[]): number {
    const [path] = args;
    if (path === undefined || args.length !== 1) return BAD_ARGUMENT;
    const text = this.#textOf(path);
    if (text === null) return OK;
    const inner = this.fork(true);
    // Functions are known everywhere once they are defined, and what is loaded stays so.
    const isDone = inner.untilEnd(() => inner.#runConfiguration(path, text));
    this.loaded = inner.loaded;
    for (const [name, body] of inner.interpreter.functions) this.interpreter.functions.set(name, body);
    for (const [file, values] of inner.saved) this.saved.set(file, values);
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
      const source = blsSource(entry, this.variables);
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

  environment(action: "load" | "save", parsed: GrubArguments | "refused" | "help"): number {
    if (typeof parsed === "string") return parsed === "help" ? OK : BAD_ARGUMENT;
    if (action === "save" && parsed.rest.length === 0) return BAD_ARGUMENT;
    const file = parsed.options.get("file")?.at(-1) ?? `${this.variables.get("prefix") ?? ""}/grubenv`;
    const values = this.#environmentOf(file);
    if (values.grubenv === "absent") return FILE_NOT_FOUND;
    if (values.grubenv === "bad") return BAD_FILE_TYPE;
    const saved = this.saved.get(this.#key(file)) ?? new Map<string, string | null>();
    if (action === "load") {
      for (const [name, value] of new Map([...values.environment, ...saved])) {
        if (value === null || (parsed.rest.length > 0 && !parsed.rest.includes(name))) continue;
        this.variables.set(name, value);
      }
      return OK;
    }
    if (values.grubenv === "odd") throw unknown("saves to an environment block that has lines without a name");
    // Where the file system does not let GRUB write, it fails, and changes nothing of this boot.
    const status = this.statusOf("save_env");
    for (const name of parsed.rest) saved.set(name, this.variables.get(name));
    this.saved.set(this.#key(file), saved);
    return status;
  }

  #environmentOf(file: string): EnvironmentFile {
    const { environment, grubenv = "good" } = this.shared.world;
    if (this.#isOwnEnvironment(file)) return { environment, grubenv };
    const text = this.#textOf(file);
    return readGrubenv(text === null ? null : Buffer.from(text));
  }

  /** grubenv beside grub.cfg, which the world tells of by itself. */
  #isOwnEnvironment(path: string): boolean {
    return splitDevice(path).path === `${this.shared.world.prefix}/grubenv`;
  }

  // Files.

  fileFacts(path: string): { readonly kind: "file" | "directory" | "absent"; readonly isEmpty: boolean } {
    const { environment, grubenv } = this.shared.world;
    if (this.#isOwnEnvironment(path)) {
      const isThere = grubenv === undefined ? environment.size > 0 : grubenv !== "absent";
      return { kind: isThere ? "file" : "absent", isEmpty: false };
    }
    const found = this.#find(path);
    if (typeof found === "object" && found !== null) return { kind: "file", isEmpty: found.text.length === 0 };
    if (found === "file" || found === "empty file") return { kind: "file", isEmpty: found === "empty file" };
    if (found === "directory") return { kind: "directory", isEmpty: false };
    return { kind: found === "unseen" && this.works(path) ? "file" : "absent", isEmpty: false };
  }

  /** A file's text; null where there is none. @throws NightlatchError grub/unknown */
  #textOf(path: string): string | null {
    if (!splitDevice(path).path.startsWith("/")) {
      if (path === "" || /^[^(]/.test(path)) return null;
      throw unknown(`reads ${splitDevice(path).path.slice(0, 60)}, which is no file but blocks of a device`);
    }
    const found = this.#find(path);
    if (found === "unseen" || found === "file")
      throw unknown(`reads ${splitDevice(path).path.slice(0, 60)}, which cannot be read here`);
    if (found === "empty file") return "";
    return typeof found === "object" && found !== null ? found.text : null;
  }

  #find(path: string): { readonly text: string } | GrubFileKind | null {
    const key = this.#key(path);
    this.shared.trace.asked.add(key);
    this.budget.spend(key.length);
    const { files, other } = this.shared.world;
    const text = files.get(key) ?? files.get(splitDevice(path).path);
    if (text !== undefined) return { text };
    return other?.get(key) ?? null;
  }

  /** How a file is asked for: its path, with `(uuid=…)` in front where it lies on a file system that `search` found. */
  #key(path: string): string {
    const { prefix } = this.shared.world;
    if (path.startsWith(`${prefix}/`)) return path;
    const { path: rest, device } = this.#onDevice(path);
    const uuid = uuidOfDevice(device);
    if (uuid !== null) return `(uuid=${uuid})${rest}`;
    return device === START_DEVICE ? rest : `(${device})${rest}`;
  }

  #onDevice(path: string): { readonly path: string; readonly device: string } {
    const split = splitDevice(path);
    return { path: split.path, device: split.device ?? this.variables.get("root") ?? "" };
  }
}
