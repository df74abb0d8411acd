import { Budget, malformed } from "./grub-budget.ts";
import { grubCmdline } from "./grub-cmdline.ts";
import { expandWord, MAX_VALUE_LENGTH } from "./grub-expand.ts";
import { type Branch, parseGrubScript, type Statement, type Word } from "./grub-script.ts";
import { evaluateTest } from "./grub-test.ts";
import {
  type GrubBlsEntry,
  type GrubEntry,
  type GrubLinux,
  type GrubMenu,
  type GrubRun,
  type GrubWorld,
  startingVariables,
} from "./grub-world.ts";

const MAX_ENTRIES = 1000;
const MAX_SOURCE_DEPTH = 8;
/**
 * Runs a grub.cfg as GRUB would up to the menu, in a world that is given, and tells the menu: nested, with ids, with what each
 * entry loads. Commands that do not bear on it count as done. Bounded in steps, depth, entries and the length of a value.
 * @throws NightlatchError grub/malformed
 */
export function evaluateGrub(text: string, world: GrubWorld): GrubMenu {
  return runGrub(text, world).menu;
}

/** @see evaluateGrub; with the variables, and what is written to the environment block. */
export function runGrub(text: string, world: GrubWorld): GrubRun {
  const run = new Run(world);
  run.execute(parseGrubScript(text));
  return { menu: run.menu(), variables: run.variables, saved: run.budget.saved };
}

class Run {
  readonly #world: GrubWorld;
  readonly #budget: Budget;
  readonly #variables: Map<string, string>;
  readonly #functions: Map<string, readonly Statement[]>;
  readonly #entries: GrubEntry[] = [];
  #positional: readonly string[] = [];
  #status = true;
  #kernel: { path: string; options: string } | null = null;
  #initrds: string[] = [];
  #isEntry = false;
  #loaded: { linux: readonly string[]; initrd: readonly string[] } = { linux: [], initrd: [] };

  constructor(world: GrubWorld, parent?: Run) {
    this.#world = world;
    this.#budget = parent?.budget ?? new Budget();
    this.#functions = new Map(parent?.functions);
    this.#variables = new Map(parent?.variables ?? startingVariables(world));
  }

  get budget(): Budget {
    return this.#budget;
  }
  get functions(): ReadonlyMap<string, readonly Statement[]> {
    return this.#functions;
  }
  get variables(): ReadonlyMap<string, string> {
    return this.#variables;
  }

  menu(): GrubMenu {
    return { entries: this.#entries, default: this.#variables.get("default") ?? "" };
  }

  get loaded(): { readonly linux: readonly string[]; readonly initrd: readonly string[] } {
    return this.#loaded;
  }

  linux(): GrubLinux | null {
    if (this.#kernel === null) return null;
    const { path, options } = this.#kernel;
    return {
      kernel: path,
      initrds: this.#initrds,
      options,
      fsUuid: this.#variables.get("nightlatch_root_uuid") ?? null,
    };
  }

  execute(statements: readonly Statement[]): void {
    for (const statement of statements) {
      this.#budget.spend();
      this.#executeOne(statement);
    }
  }

  #executeOne(statement: Statement): void {
    switch (statement.kind) {
      case "function":
        this.#functions.set(statement.name, statement.body);
        return;
      case "if": {
        const branch = statement.branches.find((candidate) => this.#holds(candidate));
        this.execute(branch?.body ?? statement.otherwise);
        return;
      }
      case "loop":
        while (this.#holds(statement.branch) !== statement.until) this.execute(statement.branch.body);
        return;
      case "for":
        for (const value of this.#expand(statement.words)) {
          this.#set(statement.name, value);
          this.execute(statement.body);
        }
        return;
      case "command":
        this.#command(statement.words, statement.block);
        return;
    }
  }

  #holds(branch: Branch): boolean {
    this.#budget.spend();
    this.#status = true;
    this.execute(branch.condition);
    return this.#status;
  }

  #command(words: readonly Word[], block: readonly Statement[] | null): void {
    const [name, ...args] = this.#expand(words);
    if (name === undefined) return;
    const body = this.#functions.get(name);
    const assignment = /^([A-Za-z_][A-Za-z0-9_]*)=(.*)$/s.exec(name === "set" ? (args[0] ?? "") : name);
    if (body !== undefined) this.#call(body, args);
    else if (assignment !== null) this.#set(String(assignment[1]), String(assignment[2]));
    else if (name === "menuentry" || name === "submenu") this.#addEntry(name, args, block ?? []);
    else if (name === "!") {
      this.#command(words.slice(1), block);
      this.#status = !this.#status;
    } else this.#builtin(name, args);
  }

  #builtin(name: string, args: readonly string[]): void {
    this.#status = true;
    switch (name) {
      case "unset":
        for (const variable of args) this.#variables.delete(variable);
        return;
      case "load_env":
        for (const [variable, value] of this.#world.environment) this.#set(variable, value);
        return;
      case "save_env":
        // What an entry saves it saves once it was chosen. A variable that is not set is not written (commands/loadenv.c).
        for (const variable of this.#isEntry ? [] : args) {
          const value = this.#variables.get(variable);
          if (value !== undefined) this.#budget.saved.set(variable, value);
        }
        return;
      case "[":
        this.#status = evaluateTest(args.slice(0, -1), (path) => this.#fileSizeBytes(path));
        return;
      case "test":
        this.#status = evaluateTest(args, (path) => this.#fileSizeBytes(path));
        return;
      case "false":
      case "keystatus":
        this.#status = false;
        return;
      case "source":
      case ".":
      case "configfile":
        this.#source(args[0] ?? "");
        return;
      case "search":
        this.#search(args);
        return;
      case "blscfg":
        for (const entry of this.#world.blsEntries) this.#addBls(entry);
        return;
      case "linux":
      case "linux16":
      case "linuxefi":
        this.#kernel = { path: withoutDevice(args[0] ?? ""), options: grubCmdline(args.slice(1)) };
        this.#loaded = { linux: args, initrd: [] };
        return;
      case "initrd":
      case "initrd16":
      case "initrdefi":
        this.#initrds = args.filter((arg) => !arg.startsWith("--")).map(withoutDevice);
        this.#loaded = { ...this.#loaded, initrd: args };
        return;
    }
  }

  #call(body: readonly Statement[], args: readonly string[]): void {
    if (++this.#budget.sourceDepth > MAX_SOURCE_DEPTH) throw malformed("calls too deep");
    const before = this.#positional;
    this.#positional = args;
    this.execute(body);
    this.#positional = before;
    this.#budget.sourceDepth--;
  }

  #source(path: string): void {
    const text = this.#world.files.get(path);
    this.#status = text !== undefined;
    if (text === undefined) return;
    if (++this.#budget.sourceDepth > MAX_SOURCE_DEPTH) throw malformed("includes too deep");
    this.execute(parseGrubScript(text));
    this.#budget.sourceDepth--;
  }

  #search(args: readonly string[]): void {
    const setsRoot = args.includes("--set=root") || args[args.indexOf("--set") + 1] === "root";
    const byUuid = args.includes("--fs-uuid") || args.includes("-u") || args.includes("--no-floppy,--fs-uuid");
    const uuid = args.findLast((arg) => !arg.startsWith("-") && arg !== "root");
    if (setsRoot && byUuid && uuid !== undefined) this.#set("nightlatch_root_uuid", uuid);
    else if (setsRoot) this.#variables.delete("nightlatch_root_uuid");
  }

  #addEntry(kind: string, args: readonly string[], body: readonly Statement[]): void {
    this.#countEntry();
    const { title, id, rest } = entryArguments(args);
    const inner = new Run(this.#world, this);
    inner.#positional = [title, ...rest];
    inner.#isEntry = kind !== "submenu";
    if (kind === "submenu") inner.#variables.delete("default");
    inner.execute(body);
    const isSubmenu = kind === "submenu";
    this.#entries.push({
      title,
      id,
      submenu: isSubmenu ? inner.menu() : null,
      linux: isSubmenu ? null : inner.linux(),
      source: { args, body, ...inner.loaded },
    });
  }

  #addBls(entry: GrubBlsEntry): void {
    this.#countEntry();
    const expand = (text: string) =>
      text.replace(/\$\{?([A-Za-z0-9_]+)\}?/g, (_, name) => this.#variables.get(name) ?? "");
    const initrds = entry.initrds.flatMap((initrd) => expand(initrd).split(/\s+/)).filter((initrd) => initrd !== "");
    const fsUuid = this.#variables.get("nightlatch_root_uuid") ?? null;
    const linux = { kernel: entry.kernel, initrds, options: expand(entry.options).trim(), fsUuid };
    this.#entries.push({ title: entry.title, id: entry.id, submenu: null, linux, source: null });
  }

  #countEntry(): void {
    if (++this.#budget.entries > MAX_ENTRIES) throw malformed(`has more than ${MAX_ENTRIES} entries`);
  }

  #fileSizeBytes(path: string): number | null {
    if (path === `${this.#world.prefix}/grubenv`) return this.#world.environment.size > 0 ? 1024 : null;
    return this.#world.files.get(path)?.length ?? null;
  }

  #set(name: string, value: string): void {
    if (value.length > MAX_VALUE_LENGTH) throw malformed("makes a value too long");
    this.#variables.set(name, value);
    // A root that is set by hand names a device of the firmware's, which says nothing about the file system.
    if (name === "root") this.#variables.delete("nightlatch_root_uuid");
  }

  #expand(words: readonly Word[]): string[] {
    return words.flatMap((word) => expandWord(word, (name) => this.#value(name)));
  }

  #value(name: string): string {
    if (name === "@" || name === "*") return this.#positional.join(" ");
    if (name === "#") return String(this.#positional.length);
    if (name === "?") return this.#status ? "0" : "1";
    if (/^\d+$/.test(name)) return this.#positional[Number(name) - 1] ?? "";
    return this.#variables.get(name) ?? "";
  }
}

/** The first plain argument is the title; `--id` names it (else the title does); the rest are $2, $3, … inside. */
function entryArguments(args: readonly string[]): { title: string; id: string; rest: string[] } {
  const plain: string[] = [];
  let id: string | null = null;
  for (let at = 0; at < args.length; at++) {
    const arg = args[at] ?? "";
    if (arg === "--id") id = args[++at] ?? "";
    else if (arg.startsWith("--id=")) id = arg.slice("--id=".length);
    else if (["--class", "--users", "--hotkey", "--source"].includes(arg)) at++;
    else if (!arg.startsWith("--")) plain.push(arg);
  }
  const [title = "", ...rest] = plain;
  return { title, id: id ?? title, rest };
}

const withoutDevice = (path: string): string => path.replace(/^\([^)]*\)/, "");
