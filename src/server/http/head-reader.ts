import { Gathering } from "../../core/gathering.ts";
import { type HeadFault, type Http1RequestHead, parseHttp1RequestHead } from "../../formats/network/http1-request.ts";

/** A target as long as this is answered with 414, as tang answers it. */
export const URL_BYTES = 4096;
/** A head that is longer is answered with 431, or with 414 where its first line is what is long. */
const HEADER_BYTES = 16_384;
const END_OF_HEAD = Buffer.from("\r\n\r\n");
const END_OF_LINE = Buffer.from("\r\n");
/** An empty line or two before a request is borne (RFC 9112 section 2.2). */
const EMPTY_LINES = 2;

/** A head, and what came behind it. */
interface WholeHead {
  readonly head: Http1RequestHead;
  /** The next input makes it stale. */
  readonly rest: Buffer;
}

/**
 * A head that was read, kept with its bytes. All heartbeats of a fleet have the same one, and to
 * compare takes a small part of what reading does.
 */
interface KnownHead {
  readonly head: Http1RequestHead;
  /** With the empty line at its end. */
  readonly bytes: Buffer;
}

/** Longer ones are not of heartbeats. */
const KNOWN_BYTES = 512;
/** The last that came whole at the beginning of an input, for all connections. */
let known: KnownHead | null = null;

/**
 * Reads one request's head after the other, as they come in. A head that comes whole is not copied.
 */
export class HeadReader {
  #kept: Gathering | null = null;

  /** Whether a head has begun that is not complete. */
  get hasBegun(): boolean {
    return this.#kept !== null;
  }

  /** The memory that an incomplete head takes. */
  get capacityBytes(): number {
    return this.#kept?.capacityBytes ?? 0;
  }

  /**
   * Takes what came in.
   * @param input stays the caller's
   * @returns null where more is needed; a status where it is no head
   */
  push(input: Buffer): WholeHead | HeadFault | 414 | 431 | null {
    if (this.#kept === null && known !== null && beginsWith(input, known.bytes))
      return { head: known.head, rest: input.subarray(known.bytes.length) };
    let bytes = input;
    let from = 0;
    if (this.#kept !== null) {
      from = Math.max(0, this.#kept.lengthBytes - END_OF_HEAD.length + 1);
      this.#kept.append(input);
      bytes = this.#kept.bytes;
    }
    const start = startOf(bytes);
    const end = bytes.indexOf(END_OF_HEAD, Math.max(start, from));
    if ((end < 0 ? bytes.length : end) > HEADER_BYTES) return isLongUrl(bytes, start) ? 414 : 431;
    if (end < 0) {
      if (!canBeginRequest(bytes[start])) return 400;
      this.#keep(input);
      return null;
    }
    this.#kept = null;
    const head = parseHttp1RequestHead(bytes.toString("latin1", start, end));
    if (typeof head === "number") return head;
    const next = end + END_OF_HEAD.length;
    if (bytes === input && start === 0 && next <= KNOWN_BYTES)
      known = { head, bytes: Buffer.from(input.subarray(0, next)) };
    return { head, rest: bytes.subarray(next) };
  }

  #keep(input: Buffer): void {
    if (this.#kept !== null) return;
    this.#kept = new Gathering();
    this.#kept.append(input);
  }
}

function beginsWith(input: Buffer, bytes: Buffer): boolean {
  const { length } = bytes;
  return input.length >= length && input.compare(bytes, 0, length, 0, length) === 0;
}

function startOf(bytes: Buffer): number {
  let start = 0;
  for (let lines = 0; lines < EMPTY_LINES; lines++) {
    if (bytes[start] === END_OF_LINE[0] && bytes[start + 1] === END_OF_LINE[1]) start += END_OF_LINE.length;
  }
  return start;
}

/** Whether it is worth waiting for more: not where it begins with anything else, such as TLS. */
function canBeginRequest(byte: number | undefined): boolean {
  return byte === undefined || byte === END_OF_LINE[0] || (byte > 0x20 && byte < 0x7f);
}

/** Whether it is the first line that has filled the head. */
function isLongUrl(bytes: Buffer, start: number): boolean {
  const end = bytes.indexOf(0x0a, start);
  return end < 0 || end - start >= URL_BYTES;
}
