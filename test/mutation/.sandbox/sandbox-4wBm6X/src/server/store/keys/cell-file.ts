// @ts-nocheck
import { isError } from "../../../core/errors.ts";
import type { InPlaceFile, System } from "../../../system/port.ts";
import { isHead, notTheStores, readHead, writeHead } from "./cell-head.ts";
import { CELL_BYTES, CELLS_IN_CHUNK, CHUNK_BYTES, COPIES, COPY_BYTES, FIRST_CELL, HEAD_BYTES } from "./cell-layout.ts";

/**
 * What is read at once where a larger piece cannot be read. What a disk loses, it loses in pieces
 * no larger.
 */
const BLOCK_BYTES = 4096;

/** A cell whose copies differ, and what the second copy says. The file gives the first for it. */
export interface Doubt {
  readonly cell: number;
  readonly second: Buffer;
}

/**
 * The file of the cells (docs/format/store.md): what is in it, in memory, and the few ways in which
 * it changes. It is only ever written in place.
 */
export class CellFile implements Disposable {
  readonly #file: InPlaceFile;
  readonly #random: System["random"];
  /** First copies. */
  readonly #chunks: Buffer[] = [];
  readonly doubts: readonly Doubt[];

  private constructor(file: InPlaceFile, random: System["random"]) {
    this.#file = file;
    this.#random = random;
    const doubts: Doubt[] = [];
    // What is left of a chunk that was being added is none.
    const count = Math.floor(file.sizeBytes / CHUNK_BYTES);
    for (let number = 0; number < count; number++) {
      const [first, second] = readChunk(file, number);
      doubts.push(...differences(first, second, number));
      this.#chunks.push(first);
    }
    this.doubts = doubts;
  }

  /**
   * Opens the file.
   * @param storeId the store whose cells they must be
   * @param mayMake a file that was never completed is filled, and not refused
   * @throws NightlatchError store/cells, file/*
   */
  static open(
    file: InPlaceFile,
    storeId: string,
    { random, mayMake }: Pick<System, "random"> & { readonly mayMake: boolean },
  ): CellFile {
    const head = readHead(file);
    if (head === storeId) {
      for (const copy of COPIES) if (!isHead(file, copy, storeId)) writeHead(file, copy, storeId);
      return new CellFile(file, random);
    }
    if (head !== null) throw notTheStores(`the cells are those of the store ${head}, this one is ${storeId}`);
    if (!mayMake) throw notTheStores("the file of cells is none: it has no head");
    writeChunk(file, 0, random);
    for (const copy of COPIES) writeHead(file, copy, storeId);
    return new CellFile(file, random);
  }

  /** How many cells there are, those of the head among them. */
  get capacity(): number {
    return this.#chunks.length * CELLS_IN_CHUNK;
  }

  /** The cell itself, not a copy. @throws RangeError beyond the capacity */
  at(cell: number): Buffer {
    const chunk = this.#chunks[Math.floor(cell / CELLS_IN_CHUNK)];
    if (chunk === undefined || cell < FIRST_CELL) throw new RangeError("there is no such cell");
    const from = (cell % CELLS_IN_CHUNK) * CELL_BYTES;
    return chunk.subarray(from, from + CELL_BYTES);
  }

  /** Adds one chunk. @throws NightlatchError file/full, file/io */
  grow(): void {
    this.#chunks.push(writeChunk(this.#file, this.#chunks.length, this.#random));
  }

  /**
   * Writes the same into cells, in both copies, one after the other. Cells beyond the capacity are
   * passed over.
   * @throws NightlatchError file/io
   */
  write(cells: readonly number[], bytes: Uint8Array): void {
    const known = cells.filter((cell) => cell >= FIRST_CELL && cell < this.capacity);
    if (known.length === 0) return;
    for (const copy of COPIES) {
      for (const cell of known) this.#file.write(offsetOf(cell) + copy, bytes);
      this.#file.sync();
    }
    for (const cell of known) this.at(cell).set(bytes);
  }

  [Symbol.dispose](): void {
    for (const chunk of this.#chunks) chunk.fill(0);
    for (const { second } of this.doubts) second.fill(0);
    this.#file[Symbol.dispose]();
  }
}

/** Where the cell lies in the first copy. */
function offsetOf(cell: number): number {
  return Math.floor(cell / CELLS_IN_CHUNK) * CHUNK_BYTES + (cell % CELLS_IN_CHUNK) * CELL_BYTES;
}

function readChunk(file: InPlaceFile, number: number): [first: Buffer, second: Buffer] {
  const [first, second] = COPIES.map((copy) => readCopy(file, number * CHUNK_BYTES + copy));
  if (first === undefined || second === undefined) throw new RangeError("a chunk has two copies");
  for (const at of first.lost) {
    // The other copy stands for it, here in memory.
    if (second.lost.includes(at)) throw first.why;
    second.bytes.copy(first.bytes, at, at, at + BLOCK_BYTES);
  }
  for (const at of second.lost) first.bytes.copy(second.bytes, at, at, at + BLOCK_BYTES);
  return [first.bytes, second.bytes];
}

interface ReadCopy {
  readonly bytes: Buffer;
  /** Offsets of the blocks that could not be read. */
  readonly lost: readonly number[];
  readonly why: unknown;
}

function readCopy(file: InPlaceFile, offsetBytes: number): ReadCopy {
  try {
    return { bytes: file.read(offsetBytes, COPY_BYTES), lost: [], why: null };
  } catch (error) {
    if (!isError(error, "file/io")) throw error;
    const bytes = Buffer.alloc(COPY_BYTES);
    const lost: number[] = [];
    for (let at = 0; at < COPY_BYTES; at += BLOCK_BYTES) {
      try {
        file.read(offsetBytes + at, BLOCK_BYTES).copy(bytes, at);
      } catch (failure) {
        if (!isError(failure, "file/io")) throw failure;
        lost.push(at);
      }
    }
    return { bytes, lost, why: error };
  }
}

function differences(first: Buffer, second: Buffer, number: number): Doubt[] {
  if (first.equals(second)) return [];
  const found: Doubt[] = [];
  for (let index = number === 0 ? FIRST_CELL : 0; index < CELLS_IN_CHUNK; index++) {
    const [from, to] = [index * CELL_BYTES, (index + 1) * CELL_BYTES];
    if (first.subarray(from, to).equals(second.subarray(from, to))) continue;
    found.push({ cell: number * CELLS_IN_CHUNK + index, second: Buffer.from(second.subarray(from, to)) });
  }
  return found;
}

/** Writes both copies at once: nothing is kept in a chunk that is added. */
function writeChunk(file: InPlaceFile, number: number, random: System["random"]): Buffer {
  const copy = random(COPY_BYTES);
  if (number === 0) copy.fill(0, 0, HEAD_BYTES);
  for (const offset of COPIES) file.write(number * CHUNK_BYTES + offset, copy);
  file.sync();
  return copy;
}
