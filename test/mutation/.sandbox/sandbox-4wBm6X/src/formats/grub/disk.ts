// @ts-nocheck
import { unknown, type WorkBudget } from "./budget.ts";
import { splitDevice, uuidOfDevice } from "./device.ts";
import { type EnvironmentFile, readGrubenv } from "./grubenv.ts";
import type { GrubArguments } from "./options.ts";
import { BAD_ARGUMENT, BAD_FILE_TYPE, FILE_NOT_FOUND, OK } from "./status.ts";
import type { Variables } from "./variables.ts";
import { type GrubFileKind, type GrubTrace, type GrubWorld, START_DEVICE } from "./world.ts";

/** What all runs of one configuration share. */
export interface DiskShared {
  readonly world: GrubWorld;
  readonly budget: WorkBudget;
  readonly trace: GrubTrace;
}

/** The files that a configuration sees, and the environment blocks that it reads and writes. */
export class GrubDisk {
  /** What was saved, by name; null for what was taken out. By the key of their file. */
  readonly saved = new Map<string, Map<string, string | null>>();
  readonly #shared: DiskShared;
  readonly #variables: Variables;

  /** @param variables those of the context in which the files are named */
  constructor(shared: DiskShared, variables: Variables) {
    this.#shared = shared;
    this.#variables = variables;
  }

  /** Goes on where another stands: what was saved is there. */
  continueFrom(other: GrubDisk): void {
    for (const [file, values] of other.saved) this.saved.set(file, new Map(values));
  }

  /** Whether a doubtful thing is taken to work. */
  works(what: string): boolean {
    this.#shared.trace.doubts.add(what);
    return this.#shared.world.doubtsFail !== true;
  }

  /** `load_env` and `save_env` (grub-core/commands/loadenv.c). Returns a status. */
  environment(action: "load" | "save", parsed: GrubArguments | "refused" | "help"): number {
    if (typeof parsed === "string") return parsed === "help" ? OK : BAD_ARGUMENT;
    if (action === "save" && parsed.rest.length === 0) return BAD_ARGUMENT;
    const file = parsed.options.get("file")?.at(-1) ?? `${this.#variables.get("prefix") ?? ""}/grubenv`;
    const values = this.#environmentOf(file);
    if (values.grubenv === "absent") return FILE_NOT_FOUND;
    if (values.grubenv === "bad") return BAD_FILE_TYPE;
    const saved = this.saved.get(this.#key(file)) ?? new Map<string, string | null>();
    if (action === "load") {
      const wanted = new Set(parsed.rest);
      for (const [name, value] of new Map([...values.environment, ...saved])) {
        if (value === null || (wanted.size > 0 && !wanted.has(name))) continue;
        this.#variables.set(name, value);
      }
      return OK;
    }
    if (values.grubenv === "odd") throw unknown("saves to an environment block that has lines without a name");
    // Where the file system does not let GRUB write, it fails, and changes nothing of this boot.
    const status = this.works("save_env") ? OK : BAD_ARGUMENT;
    for (const name of parsed.rest) saved.set(name, this.#variables.get(name));
    this.saved.set(this.#key(file), saved);
    return status;
  }

  #environmentOf(file: string): EnvironmentFile {
    const { environment, grubenv = "good" } = this.#shared.world;
    if (this.#isOwnEnvironment(file)) return { environment, grubenv };
    const text = this.textOf(file);
    return readGrubenv(text === null ? null : Buffer.from(text));
  }

  /** grubenv beside grub.cfg, which the world tells of by itself. */
  #isOwnEnvironment(path: string): boolean {
    return splitDevice(path).path === `${this.#shared.world.prefix}/grubenv`;
  }

  fileFacts(path: string): { readonly kind: "file" | "directory" | "absent"; readonly isEmpty: boolean } {
    const { environment, grubenv } = this.#shared.world;
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
  textOf(path: string): string | null {
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
    this.#shared.trace.asked.add(key);
    this.#shared.budget.spend(key.length);
    const { files, other } = this.#shared.world;
    const text = files.get(key) ?? files.get(splitDevice(path).path);
    if (text !== undefined) return { text };
    return other?.get(key) ?? null;
  }

  /**
   * How a file is asked for: its path, with `(uuid=…)` in front where it lies on a file system that
   * `search` found.
   */
  #key(path: string): string {
    const { prefix } = this.#shared.world;
    if (path.startsWith(`${prefix}/`)) return path;
    const { path: rest, device } = this.onDevice(path);
    const uuid = uuidOfDevice(device);
    if (uuid !== null) return `(uuid=${uuid})${rest}`;
    return device === START_DEVICE ? rest : `(${device})${rest}`;
  }

  /** A path, and the device that it lies on. */
  onDevice(path: string): { readonly path: string; readonly device: string } {
    const split = splitDevice(path);
    return { path: split.path, device: split.device ?? this.#variables.get("root") ?? "" };
  }
}
