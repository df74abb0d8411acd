// @ts-nocheck
const EMPTY = Buffer.alloc(0);
const LEAST_BYTES = 256;

/**
 * Bytes that come in pieces, in one buffer that grows by doubling: many small pieces cost what they
 * hold and no more. The buffer is its own allocation, so that no piece of a shared pool stays alive
 * for it.
 */
export class Gathering {
  #bytes: Buffer = EMPTY;
  #lengthBytes = 0;

  get lengthBytes(): number {
    return this.#lengthBytes;
  }

  /** What it takes of the memory. */
  get capacityBytes(): number {
    return this.#bytes.length;
  }

  /** What has come so far; the next piece may make it stale. */
  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.#lengthBytes);
  }

  /** Copies `from.subarray(start, end)`, which stays the caller's. */
  append(from: Buffer, start = 0, end = from.length): void {
    this.#makeRoom(end - start);
    // A call into the runtime costs more than some bytes moved by hand.
    if (end - start > 16) from.copy(this.#bytes, this.#lengthBytes, start, end);
    else for (let at = start; at < end; at++) this.#bytes[this.#lengthBytes + at - start] = from[at] ?? 0;
    this.#lengthBytes += end - start;
  }

  #makeRoom(moreBytes: number): void {
    const neededBytes = this.#lengthBytes + moreBytes;
    if (neededBytes <= this.#bytes.length) return;
    // The first piece is often the whole.
    const capacityBytes = Math.max(neededBytes, this.#lengthBytes === 0 ? 0 : 2 * this.#bytes.length, LEAST_BYTES);
    const greater = Buffer.allocUnsafeSlow(capacityBytes);
    this.#bytes.copy(greater, 0, 0, this.#lengthBytes);
    this.#bytes = greater;
  }
}
