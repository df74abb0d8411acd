// @ts-nocheck
import { WorkBudget } from "./budget.ts";
import { builtinOf } from "./builtins.ts";
import { type EntryDraft, GrubMachine, type Shared } from "./machine.ts";
import { parseGrubScript } from "./script.ts";
import { Variables } from "./variables.ts";
import {
  type GrubEntry,
  type GrubLinux,
  type GrubMenu,
  type GrubRun,
  type GrubSource,
  GrubTrace,
  type GrubWorld,
  startingVariables,
} from "./world.ts";

/**
 * Runs a grub.cfg as GRUB would up to the menu, in a world that is given, and tells the menu
 * (nested, with ids, with what each entry loads), the variables, and what is written to the
 * environment block. A command that is not known makes the answer unknown. Bounded in work, depth
 * and entries.
 * @throws NightlatchError grub/malformed, grub/unknown
 */
export function runGrub(text: string, world: GrubWorld, trace = new GrubTrace()): GrubRun {
  const budget = new WorkBudget(trace);
  const shared: Shared = { world, budget, trace, builtinOf };
  const variables = new Variables(budget);
  for (const [name, value] of startingVariables(world)) {
    variables.set(name, value);
    variables.export(name);
  }
  const first = new GrubMachine(shared, variables, new Map());
  const isDone = first.untilEnd(() => first.interpreter.runFile(text));
  const machine = first.next ?? first;
  return {
    menu: isDone || first.next !== null ? menuOf(machine) : withoutMenu(first),
    variables: machine.variables.known(),
    saved: new Map(
      [...(machine.disk.saved.get(`${world.prefix}/grubenv`) ?? [])].map(([name, value]) => [name, value ?? ""]),
    ),
  };
}

function menuOf(machine: GrubMachine): GrubMenu {
  if (machine.isBooting) return withoutMenu(machine);
  const entries = machine.entries.map((draft) => new Entry(draft, machine));
  const rules = machine.hasBls ? "fedora" : "gnu";
  return { entries, default: machine.variables.get("default") ?? "", rules, bits: machine.bits };
}

/** A configuration that boots, or leaves GRUB, before it shows a menu. */
function withoutMenu(machine: GrubMachine): GrubMenu {
  const linux = machine.isBooting ? machine.linux() : null;
  if (linux === null) return { entries: [], default: "" };
  const entry: GrubEntry = { title: "", id: "", submenu: null, linux, source: null, enter: () => null };
  return { entries: [entry], default: "" };
}

/** What comes of an entry that is chosen. */
interface Outcome {
  readonly menu: GrubMenu | null;
  readonly linux: GrubLinux | null;
  readonly linuxArgs: readonly string[];
  readonly initrdArgs: readonly string[];
}

/** An entry, which is run when it is asked for, on the machine as it is when the menu is shown. */
class Entry implements GrubEntry {
  readonly title: string;
  readonly id: string;
  readonly #draft: EntryDraft;
  readonly #machine: GrubMachine;
  #outcome: Outcome | null = null;

  constructor(draft: EntryDraft, machine: GrubMachine) {
    this.title = draft.title;
    this.id = draft.id;
    this.#draft = draft;
    this.#machine = machine;
  }

  get submenu(): GrubMenu | null {
    return this.#ran().menu;
  }

  get linux(): GrubLinux | null {
    return this.#ran().linux;
  }

  get source(): GrubSource | null {
    if (this.#draft.isBls) return null;
    const { linuxArgs, initrdArgs } = this.#ran();
    const { words, source } = this.#draft;
    return { args: words, body: parseGrubScript(source), linux: linuxArgs, initrd: initrdArgs };
  }

  enter(rest: string): GrubMenu | null {
    this.#outcome = this.#run(rest);
    return this.#outcome.menu;
  }

  #ran(): Outcome {
    this.#outcome ??= this.#run("");
    return this.#outcome;
  }

  /** As grub_menu_execute_entry does it (grub-core/normal/menu.c). */
  #run(rest: string): Outcome {
    const { kind, args, source, setsParams, id } = this.#draft;
    const isSubmenu = kind === "submenu";
    const machine = this.#machine.fork(isSubmenu);
    const { variables, interpreter } = machine;
    const chosen = this.#machine.variables.get("chosen");
    variables.set("chosen", `${chosen === null ? "" : `${chosen}>`}${id.replaceAll(">", ">>")}`);
    variables.export("chosen");
    if (rest !== "") variables.set("default", rest);
    else if (!machine.hasBls) variables.unset("default");
    if (isSubmenu) variables.set("timeout", "0");
    interpreter.scope = { args };
    if (setsParams) variables.set("?", "0");
    const isDone = machine.untilEnd(() => machine.budget.deeper(() => interpreter.runText(source)));
    const { kernel, isOther, linuxArgs, initrdArgs } = machine.loaded;
    const menu = machine.next ?? (isSubmenu && isDone && kernel === null && !isOther ? machine : null);
    if (menu !== null && !menu.isBooting) return { menu: menuOf(menu), linux: null, linuxArgs, initrdArgs };
    return { menu: null, linux: machine.linux(), linuxArgs, initrdArgs };
  }
}
