// @ts-nocheck
import { isError } from "../../../core/errors.ts";
import type { GrubFileKind } from "../../../formats/grub/world.ts";
import { listMounts, type Mount, mountOf, placesOf, type Seen } from "../../../host/mounts.ts";
import type { System } from "../../../system/port.ts";

/** A larger file counts as there, and is not read. */
export const GRUB_FILE_LIMIT_BYTES = 1 << 20;
const ON_UUID = /^\(uuid=([^)]*)\)(.*)$/s;

/** What a file is to GRUB: its text, what else it is, or null where it is not there. */
type GrubFile = { readonly text: string } | { readonly kind: GrubFileKind } | null;

/** Finds the files that a configuration asks for, as the running system sees them. */
export class GrubFiles {
  readonly #system: Pick<System, "run" | "stat" | "readFile">;
  readonly #folder: string;
  #mounts: readonly Mount[] | null = null;

  /** @param folder that of grub.cfg */
  constructor(system: Pick<System, "run" | "stat" | "readFile">, folder: string) {
    this.#system = system;
    this.#folder = folder;
  }

  /** @param key as GrubTrace has it @throws NightlatchError file/*, boot/unsupported */
  async find(key: string): Promise<GrubFile> {
    const seen = await this.#places(key);
    for (const path of seen.paths) {
      const facts = await this.#system.stat(path);
      if (facts === null) continue;
      if (facts.kind === "directory") return { kind: "directory" };
      if (facts.sizeBytes === 0) return { kind: "empty file" };
      if (facts.sizeBytes > GRUB_FILE_LIMIT_BYTES) return { kind: "file" };
      return { text: (await this.#system.readFile(path, GRUB_FILE_LIMIT_BYTES)).toString("utf8") };
    }
    return seen.blindness === null ? null : { kind: "unseen" };
  }

  async #places(key: string): Promise<Seen> {
    const here = (path: string): Seen => ({ paths: [path], blindness: null });
    if (key === this.#folder || key.startsWith(`${this.#folder}/`)) return here(key);
    this.#mounts ??= await listMounts(this.#system);
    const mounts = this.#mounts;
    const [, fsUuid, path] = ON_UUID.exec(key) ?? [];
    try {
      if (fsUuid !== undefined) return await placesOf(this.#system, mounts, path ?? "", { fsUuid, isRelative: false });
    } catch (error) {
      if (!isError(error, "boot/unsupported") && !isError(error, "boot/no-entry")) throw error;
      return { paths: [], blindness: "its file system is not known here" };
    }
    const start = mountOf(mounts, this.#folder);
    // Another device of the firmware's, or one that only a label names.
    if (key.startsWith("(") || start === undefined || !key.startsWith("/"))
      return { paths: [], blindness: "its device is not known here" };
    const prefix = start.root === "/" ? "" : start.root;
    if (!key.startsWith(`${prefix}/`)) return { paths: [], blindness: "that part is not mounted" };
    return here(`${start.target === "/" ? "" : start.target}${key.slice(prefix.length)}`);
  }
}
