import { isError } from "../../../core/errors.ts";
import type { System } from "../../../system/port.ts";

/** Writes of the largest change: a machine's 64 latches with their keys revoked, twice over, and the files beside the store. */
export const BALLAST_BYTES = 4 << 20;
/** Less would not hold a lock's own pages. */
const LEAST_BYTES = 128 << 10;
export const BALLAST_NAME = "ballast";
/** Of a run that was killed while it made one. */
export const BALLAST_STRAY = /^ballast\.[0-9a-f]{12}\.tmp$/;

type Power = Pick<System, "writeFile" | "removeFile" | "stat" | "freeBytes" | "listDirectory" | "random">;

/**
 * A file that only takes up room. On a full disk it is given up so that a change that stops releases can be recorded, and made again of
 * what that leaves. docs/decisions/036-ballast.md
 */
export class Ballast {
  readonly #power: Power;
  readonly #folder: string;
  #heldBytes = 0;
  /** Given up, and to be taken back before anybody else has it. */
  #owedBytes = 0;

  constructor(power: Power, folder: string) {
    this.#power = power;
    this.#folder = folder;
  }

  get #path(): string {
    return `${this.#folder}/${BALLAST_NAME}`;
  }

  get isWhole(): boolean {
    return this.#heldBytes >= BALLAST_BYTES;
  }

  /** At a start: what is there counts, and what a crash left half made goes. Never throws one of our errors. */
  async find(): Promise<void> {
    await tolerate(async () => {
      for (const name of await this.#power.listDirectory(this.#folder)) {
        if (BALLAST_STRAY.test(name)) await this.#power.removeFile(`${this.#folder}/${name}`);
      }
      const facts = await this.#power.stat(this.#path);
      this.#heldBytes = facts?.kind === "file" ? facts.sizeBytes : 0;
    });
    await this.hold();
  }

  /** @returns whether there is more room now */
  async giveUp(): Promise<boolean> {
    if (this.#heldBytes === 0) return false;
    const held = this.#heldBytes;
    const isGone = await tolerate(() => this.#power.removeFile(this.#path));
    if (!isGone) return false;
    this.#heldBytes = 0;
    this.#owedBytes = held;
    return true;
  }

  /**
   * Makes it as large as it should be, where the disk has twice the room; after it was given up, as large as what is left of it. Costs
   * nothing while it is whole. Never throws one of our errors: without it the server is what it would be anyway.
   */
  async hold(): Promise<void> {
    if (this.isWhole) return;
    if (this.#owedBytes === 0) {
      let free = 0;
      await tolerate(async () => {
        free = await this.#power.freeBytes(this.#folder);
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

  /** Random, so that no file system stores it in less. Another in its place is there until this one is whole. */
  async #make(lengthBytes: number): Promise<boolean> {
    const isMade = await tolerate(() => this.#power.writeFile(this.#path, this.#power.random(lengthBytes), 0o600));
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
