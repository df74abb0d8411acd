// @ts-nocheck
import { isError } from "../../../core/errors.ts";
import type { System } from "../../../system/port.ts";

/**
 * What the largest change writes: a machine's 64 latches with their keys revoked, twice over, and
 * the files beside the store.
 */
const BALLAST_BYTES = 4 << 20;
/** Less would not hold a lock's own pages. */
const LEAST_BYTES = 128 << 10;
/** The name of the ballast in a data folder. */
export const BALLAST_NAME = "ballast";
/** What is left of a run that was killed while it made a ballast. */
const BALLAST_STRAY = /^ballast\.[0-9a-f]{12}\.tmp$/;

type BallastSystem = Pick<System, "writeFile" | "removeFile" | "stat" | "freeBytes" | "listDirectory" | "random">;

/**
 * A file that only takes up room. On a full disk it is given up so that a change that stops
 * releases can be recorded. It is made again of what that leaves. docs/decisions/036-ballast.md
 */
export class Ballast {
  readonly #system: BallastSystem;
  readonly #folder: string;
  #heldBytes = 0;
  /** Given up, and to be taken back before anybody else has it. */
  #owedBytes = 0;

  constructor(system: BallastSystem, folder: string) {
    this.#system = system;
    this.#folder = folder;
  }

  get #path(): string {
    return `${this.#folder}/${BALLAST_NAME}`;
  }

  get isWhole(): boolean {
    return this.#heldBytes >= BALLAST_BYTES;
  }

  /**
   * Finds what is there at a start: a ballast counts, and what a crash left half made goes. It
   * never throws one of our errors.
   */
  async find(): Promise<void> {
    await tolerate(async () => {
      for (const name of await this.#system.listDirectory(this.#folder)) {
        if (BALLAST_STRAY.test(name)) await this.#system.removeFile(`${this.#folder}/${name}`);
      }
      const facts = await this.#system.stat(this.#path);
      this.#heldBytes = facts?.kind === "file" ? facts.sizeBytes : 0;
    });
    await this.hold();
  }

  /** Gives up the room. @returns whether there is more room now */
  async giveUp(): Promise<boolean> {
    if (this.#heldBytes === 0) return false;
    const held = this.#heldBytes;
    const isGone = await tolerate(() => this.#system.removeFile(this.#path));
    if (!isGone) return false;
    this.#heldBytes = 0;
    this.#owedBytes = held;
    return true;
  }

  /**
   * Makes the ballast as large as it should be, where the disk has twice the room; after it was
   * given up, as large as what is left of it. It costs nothing while the ballast is whole. It never
   * throws one of our errors: without a ballast the server is what it would be anyway.
   */
  async hold(): Promise<void> {
    if (this.isWhole) return;
    if (this.#owedBytes === 0) {
      let free = 0;
      await tolerate(async () => {
        free = await this.#system.freeBytes(this.#folder);
      });
      if (free >= 2 * BALLAST_BYTES) await this.#make(BALLAST_BYTES);
      return;
    }
    const owed = this.#owedBytes;
    this.#owedBytes = 0;
    for (let lengthBytes = owed; lengthBytes >= LEAST_BYTES; lengthBytes -= LEAST_BYTES) {
      if (await this.#make(lengthBytes)) return;
    }
  }

  /**
   * Fills it with random bytes, so that no file system stores it in less. Another in its place
   * stays until this one is whole.
   */
  async #make(lengthBytes: number): Promise<boolean> {
    const isMade = await tolerate(() => this.#system.writeFile(this.#path, this.#system.random(lengthBytes), 0o600));
    if (isMade) this.#heldBytes = lengthBytes;
    return isMade;
  }
}

async function tolerate(act: () => Promise<void>): Promise<boolean> {
  try {
    await act();
    return true;
  } catch (error) {
    if (isError(error)) return false;
    throw error;
  }
}
