import { isError, NightlatchError } from "../../../core/errors.ts";
import type { Secret } from "../../../core/secret.ts";
import type { CellFile } from "./cell-file.ts";
import { CELL_BYTES, CELLS_IN_CHUNK, FIRST_CELL } from "./cell-layout.ts";
import { storeClosed } from "./closed.ts";
import { type MasterKey, seal, unseal, type WrapContext } from "./wrap.ts";

/** What an empty cell holds. */
export const EMPTY = Buffer.alloc(CELL_BYTES);

/**
 * What wraps the keys of latches and invites: a cell each, together with the master key. Emptying
 * the cell destroys whatever was wrapped with it, wherever copies of that lie.
 * docs/decisions/063-cells.md
 */
export class Cells implements Disposable {
  readonly #file: CellFile;
  readonly #master: MasterKey;
  /**
   * Where a cell was used, memory holds the key that was made of it in its place. By chunk; 1 where
   * it does.
   */
  readonly #isKey = new Map<number, Uint8Array>();
  readonly #passed: ReadonlySet<number>;
  #next = FIRST_CELL;
  /** Emptied in memory, and in the file as soon as that can be written. */
  readonly #owed = new Set<number>();
  #isShut = false;

  /** Takes ownership of both. */
  constructor(file: CellFile, master: MasterKey) {
    this.#file = file;
    this.#master = master;
    this.#passed = new Set(file.doubts.map(({ cell }) => cell));
  }

  /** How many cells the file has. */
  get capacity(): number {
    return this.#file.capacity;
  }

  /** The next cell that is taken is at least this one. */
  startAt(cell: number): void {
    this.#next = Math.max(this.#next, cell);
  }

  /**
   * Gives a cell that nothing was ever wrapped with. It is durable: it lay on the disk before. One
   * that its caller then does not use is lost until the next start.
   * @throws NightlatchError store/full, store/io, store/closed
   */
  take(): number {
    // What lay behind the file's number may be another file by now.
    if (this.#isShut) throw storeClosed();
    for (;;) {
      const cell = this.#next++;
      while (cell >= this.#file.capacity) translated(() => this.#file.grow());
      if (!this.isEmpty(cell) && !this.#passed.has(cell)) return cell;
    }
  }

  /** Whether its keys were destroyed. */
  isEmpty(cell: number): boolean {
    return this.#has(cell) && this.#file.at(cell).equals(EMPTY);
  }

  /** Whether the file has it. An older copy of the file that was put back may not. */
  #has(cell: number): boolean {
    return cell >= FIRST_CELL && cell < this.#file.capacity;
  }

  /** Wraps a key with a cell. */
  wrap(cell: number, plain: Uint8Array, context: WrapContext): Buffer {
    return seal(this.#keyOf(cell), plain, context);
  }

  /**
   * Opens what was wrapped with a cell. The caller wipes it.
   * @throws NightlatchError store/damaged where it does not open, as with a cell that is empty or
   *   missing
   */
  unwrap(cell: number, wrapped: Uint8Array, context: WrapContext): Secret {
    return unseal(this.#has(cell) && !this.isEmpty(cell) ? this.#keyOf(cell) : EMPTY, wrapped, context);
  }

  /**
   * Empties cells. They are empty on the disk when this returns true. Where it returns false the
   * disk cannot be written now: they are gone from memory, and owed.
   */
  empty(cells: readonly number[]): boolean {
    for (const cell of cells) {
      if (this.#has(cell)) this.#file.at(cell).fill(0);
      this.#owed.add(cell);
    }
    return this.settle();
  }

  /** Whether what was emptied may still be read from the file. */
  get owes(): boolean {
    return this.#owed.size > 0;
  }

  /** Tries what is owed. False where it is still. */
  settle(): boolean {
    if (!this.owes) return true;
    try {
      this.#file.write([...this.#owed], EMPTY);
      this.#owed.clear();
      return true;
    } catch (error) {
      if (isError(error)) return false;
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#isShut = true;
    this.#file[Symbol.dispose]();
    this.#master[Symbol.dispose]();
  }

  #keyOf(cell: number): Buffer {
    const chunk = Math.floor(cell / CELLS_IN_CHUNK);
    let isKey = this.#isKey.get(chunk);
    if (isKey === undefined) {
      isKey = new Uint8Array(CELLS_IN_CHUNK);
      this.#isKey.set(chunk, isKey);
    }
    const bytes = this.#file.at(cell);
    const index = cell % CELLS_IN_CHUNK;
    if (isKey[index] !== 1) {
      const key = this.#master.with(bytes);
      bytes.set(key);
      key.fill(0);
      isKey[index] = 1;
    }
    return bytes;
  }
}

function translated<T>(act: () => T): T {
  try {
    return act();
  } catch (error) {
    if (!isError(error)) throw error;
    const isFull = isError(error, "file/full");
    throw new NightlatchError(isFull ? "store/full" : "store/io", error.message, {
      meaning: "Nothing of it was recorded, so nothing was released or changed.",
      remedy: isFull
        ? "Make room on the file system of the data folder; the server goes on by itself."
        : "Check the disk under the data folder (dmesg), then restart the server.",
    });
  }
}
