// @ts-nocheck
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Exit, InPlaceFile, RunRequest, System } from "../../src/system/port.ts";

/**
 * What every call throws once the power is gone. Not one of the project's errors: nothing may take
 * it for an answer.
 */
export class PowerCut extends Error {
  constructor() {
    super("the power is gone");
    this.name = "PowerCut";
  }
}

export interface Fault {
  /**
   * Which of the calls that change something: programs run, files written, changed in place, synced
   * or removed, folders made; the first is 1.
   */
  readonly at: number;
  /**
   * `during` kills a program with SIGKILL after `delayMs`, and writes half of what is written in
   * place; for the rest it is `after`.
   */
  readonly when: "before" | "during" | "after";
  readonly delayMs?: number;
}

/** A system whose power goes at one step, and stays away: every later call throws. */
export interface FaultySystem extends System {
  /** Changing calls that were begun. */
  readonly steps: readonly string[];
  readonly wasCut: boolean;
}

/** @param seen is called after each step that was not cut, with its number */
export function faultySystem(system: System, fault: Fault, seen: (step: number) => void = () => {}): FaultySystem {
  const steps: string[] = [];
  let cut = false;
  const requirePower = () => {
    if (cut) throw new PowerCut();
  };
  const step = async <T>(name: string, act: () => Promise<T>, during: () => Promise<T> = act): Promise<T> => {
    requirePower();
    steps.push(name);
    const number = steps.length;
    if (number !== fault.at) {
      const value = await act();
      seen(number);
      return value;
    }
    if (fault.when === "before") {
      cut = true;
      throw new PowerCut();
    }
    await (fault.when === "during" ? during() : act()).finally(() => {
      cut = true;
    });
    throw new PowerCut();
  };
  const stepNow = (name: string, act: () => void, during: () => void = act): void => {
    requirePower();
    steps.push(name);
    if (steps.length !== fault.at) {
      act();
      return;
    }
    if (fault.when !== "before") (fault.when === "during" ? during : act)();
    cut = true;
    throw new PowerCut();
  };
  const inPlace = (path: string, file: InPlaceFile): InPlaceFile => ({
    get sizeBytes() {
      requirePower();
      return file.sizeBytes;
    },
    read: (offsetBytes, lengthBytes) => {
      requirePower();
      return file.read(offsetBytes, lengthBytes);
    },
    write: (offsetBytes, bytes) => {
      const half = () => file.write(offsetBytes, bytes.subarray(0, bytes.byteLength >> 1));
      stepNow(`write ${path} at ${offsetBytes}`, () => file.write(offsetBytes, bytes), half);
    },
    sync: () => stepNow(`sync ${path}`, () => file.sync()),
    [Symbol.dispose]: () => file[Symbol.dispose](),
  });
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
    openInPlace: async (path, made) =>
      inPlace(
        path,
        made === undefined || (await system.stat(path)) !== null
          ? await read(system.openInPlace)(path)
          : await step(`make ${path}`, () => system.openInPlace(path, made)),
      ),
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
async function runAndKill(system: System, command: RunRequest, delayMs: number): Promise<Exit> {
  const kill = new AbortController();
  const timer = setTimeout(() => kill.abort(), delayMs);
  try {
    return await system.run({ ...command, signal: kill.signal });
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Runs something to its end, and gives the faults that leave a state of their own: the power goes
 * after each step that changed one of the folders, or their files, and in the middle of each
 * program that did. A cut before such a step leaves what the one before it has left, and one at a
 * step that only reads leaves that too.
 * @param paths files, and folders of files
 */
export async function listFaults(
  system: System,
  paths: readonly string[],
  run: (system: System) => Promise<unknown>,
): Promise<readonly (Fault & { readonly step: string })[]> {
  const changing: number[] = [];
  let last = digestOf(paths);
  const counting = faultySystem(system, { at: Number.POSITIVE_INFINITY, when: "after" }, (step) => {
    const now = digestOf(paths);
    if (now !== last) changing.push(step);
    last = now;
  });
  await run(counting);
  return changing.flatMap((at) => {
    const step = counting.steps[at - 1] ?? "";
    const isProgram = !/^(?:write|sync|make|remove|mkdir) /.test(step);
    return [
      ...(isProgram ? [{ at, when: "during", delayMs: Math.random() * 40, step } as const] : []),
      { at, when: "after", step } as const,
    ];
  });
}

function digestOf(paths: readonly string[]): string {
  const sum = createHash("sha256");
  for (const path of paths) {
    if (!existsSync(path)) continue;
    const isFolder = statSync(path).isDirectory();
    for (const name of isFolder ? readdirSync(path).sort() : [""]) {
      sum.update(`${name}\0`).update(readFileSync(isFolder ? join(path, name) : path));
    }
  }
  return sum.digest("hex");
}
