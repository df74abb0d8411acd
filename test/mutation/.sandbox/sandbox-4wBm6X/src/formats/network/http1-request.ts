// @ts-nocheck
import { Gathering } from "../../core/gathering.ts";

/**
 * HTTP/1.1 requests (RFC 9112) as a server reads them. Strict: what two readers could understand
 * in two ways is no request. Faults are statuses and not exceptions, since strangers may send any
 * number of them.
 */
export interface Http1RequestHead {
  readonly method: string;
  /** As it was sent. */
  readonly target: string;
  /** Whether the client goes on with this connection afterwards. */
  readonly isKept: boolean;
  readonly framing: "none" | "length" | "chunked";
  /** Of the body, where the framing tells it; else 0. */
  readonly lengthBytes: number;
  /** Whether the client waits for `100 Continue` before it sends the body. */
  readonly awaitsContinue: boolean;
}

/** The status that a request is refused with whose head is wrong. */
export type HeadFault = 400 | 417;

/** With a target in origin, asterisk or absolute form (RFC 9112 section 3.2). */
const REQUEST_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+) (\/[\x21-\x7e]*|\*|[A-Za-z]+:\/\/[\x21-\x7e]*) HTTP\/1\.([01])$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: RFC 9110 section 5.5 excludes exactly these
const FIELD = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[^\x00-\x08\x0a-\x1f\x7f]*$/;
const LENGTH = /^\d{1,15}$/;

/**
 * Reads the head of a request, or tells what is wrong with it.
 * @param text the head without the empty line at its end, in Latin-1
 */
export function parseHttp1RequestHead(text: string): Http1RequestHead | HeadFault {
  const lines = text.split("\r\n");
  const [, method, target, minor] = REQUEST_LINE.exec(lines[0] ?? "") ?? [];
  if (method === undefined || target === undefined) return 400;
  let length: string | null = null;
  let coding: string | null = null;
  let hosts = 0;
  let isClosed = minor === "0";
  let awaitsContinue = false;
  for (let index = 1; index < lines.length; index++) {
    const line = lines[index] ?? "";
    const name = FIELD.exec(line)?.[1];
    if (name === undefined) return 400;
    switch (name.toLowerCase()) {
      case "host":
        hosts++;
        break;
      case "content-length":
        if (length !== null) return 400;
        length = fieldValue(line, name);
        break;
      case "transfer-encoding":
        if (coding !== null) return 400;
        coding = fieldValue(line, name);
        break;
      case "connection":
        isClosed ||= namesClose(fieldValue(line, name));
        break;
      case "expect":
        if (fieldValue(line, name).toLowerCase() !== "100-continue") return 417;
        awaitsContinue = minor === "1";
    }
  }
  if (hosts > 1 || (hosts === 0 && minor === "1")) return 400;
  if (length !== null && !LENGTH.test(length)) return 400;
  if (coding !== null && (length !== null || minor === "0" || coding.toLowerCase() !== "chunked")) return 400;
  const lengthBytes = Number(length ?? 0);
  const framing = coding !== null ? "chunked" : lengthBytes > 0 ? "length" : "none";
  return { method, target, isKept: !isClosed, framing, lengthBytes, awaitsContinue };
}

/**
 * Without the blanks around it. Not by a pattern: one that looks for an end takes the square of a
 * long value's length.
 */
function fieldValue(line: string, name: string): string {
  let [start, end] = [name.length + 1, line.length];
  while (start < end && isBlank(line.charCodeAt(start))) start++;
  while (end > start && isBlank(line.charCodeAt(end - 1))) end--;
  return line.slice(start, end);
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

function namesClose(value: string): boolean {
  const plain = value.toLowerCase();
  return plain === "close" || (plain.includes(",") && plain.split(",").some((option) => option.trim() === "close"));
}

const [LF, CR] = [0x0a, 0x0d];
/** More would be too long whatever they say. */
const SIZE_DIGITS = 7;

type Step = "length" | "size" | "size-lf" | "chunk" | "chunk-cr" | "chunk-lf" | "last-cr" | "last-lf";

/**
 * Reads one request's body, as it comes in, into one buffer. Chunks have no extensions and no
 * trailers here: no client of this server sends any, and they are where readers differ.
 */
export class Http1BodyReader {
  readonly #limitBytes: number;
  readonly #gathering = new Gathering();
  #step: Step;
  /** Of the body or chunk that is being read. */
  #missingBytes: number;
  #digits = 0;
  /** `whole`, or what to answer. */
  #state: "more" | "whole" | 400 | 413 = "more";

  /** @param limitBytes a body of as many bytes is too long */
  constructor(head: Pick<Http1RequestHead, "framing" | "lengthBytes">, limitBytes: number) {
    this.#limitBytes = limitBytes;
    this.#step = head.framing === "chunked" ? "size" : "length";
    this.#missingBytes = head.lengthBytes;
    if (head.lengthBytes >= limitBytes) this.#state = 413;
    else if (head.framing === "none") this.#state = "whole";
  }

  get state(): "more" | "whole" | 400 | 413 {
    return this.#state;
  }

  get body(): Buffer {
    return this.#gathering.bytes;
  }

  get capacityBytes(): number {
    return this.#gathering.capacityBytes;
  }

  /**
   * Takes what belongs to the body from `at` on; the input stays the caller's.
   * @returns where it ended
   */
  push(input: Buffer, at: number): number {
    let next = at;
    while (this.#state === "more" && next < input.length) {
      if (this.#step === "length" || this.#step === "chunk") next = this.#take(input, next);
      else this.#readByte(input[next++] ?? 0);
    }
    return next;
  }

  #take(input: Buffer, at: number): number {
    const end = Math.min(input.length, at + this.#missingBytes);
    this.#gathering.append(input, at, end);
    this.#missingBytes -= end - at;
    if (this.#missingBytes === 0) {
      if (this.#step === "length") this.#state = "whole";
      else this.#step = "chunk-cr";
    }
    return end;
  }

  #readByte(byte: number): void {
    const next = this.#after(byte);
    if (next === "whole" || typeof next === "number") this.#state = next;
    else this.#step = next;
  }

  #after(byte: number): Step | "whole" | 400 | 413 {
    switch (this.#step) {
      case "size":
        return this.#afterSize(byte);
      case "size-lf":
        return byte === LF ? this.#beginChunk() : 400;
      case "chunk-cr":
        return byte === CR ? "chunk-lf" : 400;
      case "chunk-lf":
        return byte === LF ? "size" : 400;
      case "last-cr":
        return byte === CR ? "last-lf" : 400;
      case "last-lf":
        return byte === LF ? "whole" : 400;
      default:
        return 400; // what has a length is not read byte by byte
    }
  }

  #afterSize(byte: number): Step | 400 | 413 {
    const digit = hexDigit(byte);
    if (digit < 0) return byte === CR && this.#digits > 0 ? "size-lf" : 400;
    this.#missingBytes = this.#missingBytes * 16 + digit;
    return ++this.#digits > SIZE_DIGITS ? 413 : "size";
  }

  #beginChunk(): Step | 413 {
    this.#digits = 0;
    if (this.#missingBytes === 0) return "last-cr";
    return this.#gathering.lengthBytes + this.#missingBytes >= this.#limitBytes ? 413 : "chunk";
  }
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}
