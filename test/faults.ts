import type { Command, Exit, System } from "../src/system/port.ts";

/** What every call throws once the power is gone. Not one of the project's errors: nothing may take it for an answer. */
export class PowerCut extends Error {
  constructor() {
    super("the power is gone");
    this.name = "PowerCut";
  }
}

export interface Fault {
  /** Which of the calls that change something: programs run, files written or removed, folders made; the first is 1. */
  readonly at: number;
  /** `during` kills a program with SIGKILL after `delayMs`; for what is no program it is `after`. */
  readonly when: "before" | "during" | "after";
  readonly delayMs?: number;
}

/** A system whose power goes at one step, and stays away: every later call throws. */
export interface FaultySystem extends System {
  /** Changing calls that were begun. */
  readonly steps: readonly string[];
  readonly wasCut: boolean;
}

export function faultySystem(system: System, fault: Fault): FaultySystem {
  const steps: string[] = [];
  let cut = false;
  const requirePower = () => {
    if (cut) throw new PowerCut();
  };
  const step = async <T>(name: string, act: () => Promise<T>, during: () => Promise<T> = act): Promise<T> => {
    requirePower();
    steps.push(name);
    if (steps.length !== fault.at) return act();
    if (fault.when === "before") {
      cut = true;
      throw new PowerCut();
    }
    await (fault.when === "during" ? during() : act()).finally(() => {
      cut = true;
    });
    throw new PowerCut();
  };
  const read = <A extends unknown[], T>(call: (...args: A) => Promise<T>) => {
    return async (...args: A): Promise<T> => {
      requirePower();
      return call(...args);
    };
  };
  return {
    ...system,
    get steps() {
      return steps;
    },
    get wasCut() {
      return cut;
    },
    run: (command) =>
      step(
        command.argv.slice(0, 3).join(" "),
        () => system.run(command),
        () => runAndKill(system, command, fault.delayMs ?? 0),
      ),
    writeFile: (path, bytes, mode) => step(`write ${path}`, () => system.writeFile(path, bytes, mode)),
    removeFile: (path) => step(`remove ${path}`, () => system.removeFile(path)),
    makeDirectory: (path, mode) => step(`mkdir ${path}`, () => system.makeDirectory(path, mode)),
    readFile: read(system.readFile),
    readAt: read(system.readAt),
    listDirectory: read(system.listDirectory),
    stat: read(system.stat),
    request: read(system.request),
    lock: read(system.lock),
  };
}

/** An aborted signal kills the program's whole group with SIGKILL. */
async function runAndKill(system: System, command: Command, delayMs: number): Promise<Exit> {
  const kill = new AbortController();
  const timer = setTimeout(() => kill.abort(), delayMs);
  try {
    return await system.run({ ...command, signal: kill.signal });
  } finally {
    clearTimeout(timer);
  }
}
