// @ts-nocheck
import { inspect } from "node:util";

/**
 * Key material in one Buffer of its own that prints, serialises and inspects as nothing. `wipe` is
 * best effort: V8 may have moved the owner object, never the bytes, and whatever a library copied
 * is out of reach.
 */
export class Secret implements Disposable {
  #bytes: Buffer | null;

  private constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** Takes ownership: the caller must not keep `bytes`. */
  static take(bytes: Buffer): Secret {
    return new Secret(bytes);
  }

  /** Copies into memory that is not shared with Node's buffer pool. */
  static copy(bytes: Uint8Array): Secret {
    const own = Buffer.alloc(bytes.byteLength);
    own.set(bytes);
    return new Secret(own);
  }

  get lengthBytes(): number {
    return this.reveal().byteLength;
  }

  /**
   * The bytes themselves, not a copy. Hand them to stdin, a socket or node:crypto and nowhere else.
   */
  reveal(): Buffer {
    if (this.#bytes === null) throw new TypeError("secret was wiped");
    return this.#bytes;
  }

  wipe(): void {
    this.#bytes?.fill(0);
    this.#bytes = null;
  }

  [Symbol.dispose](): void {
    this.wipe();
  }

  toString(): string {
    return "[secret]";
  }

  toJSON(): string {
    return "[secret]";
  }

  [inspect.custom](): string {
    return "[secret]";
  }
}
