// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";

/**
 * The part of HTTP/1.1 (RFC 9110, RFC 9112) that one request on a connection of its own needs.
 * node:http does this and far more; its loading and first use take 10 ms, a fifth of what the key
 * socket's cold start may take (decision 003). Messages are predicates: the caller puts the
 * server's name before them.
 */
interface Http1Request {
  readonly method: "GET" | "POST";
  readonly url: URL;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | undefined;
}

/** An answer, whole, as it came over one connection. */
export interface Http1Response {
  readonly status: number;
  /** As it was sent; empty where there is none. */
  readonly contentType: string;
  /** As it was sent (RFC 9110, 10.2.2); absent where there is none. */
  readonly location?: string;
  readonly body: Buffer;
}

/**
 * Writes a request's head and body. Credentials in the URL become basic authentication, as with
 * curl.
 */
export function formatHttp1Request({ method, url, headers, body }: Http1Request): Buffer {
  const lines = [`${method} ${url.pathname}${url.search} HTTP/1.1`];
  const fields = { host: url.host, connection: "close", ...authorization(url), ...headers, ...lengthOf(body) };
  for (const [name, value] of Object.entries(fields)) {
    if (!TOKEN.test(name) || !VALUE.test(value)) throw new RangeError(`the header ${name} cannot be sent`);
    lines.push(`${name}: ${value}`);
  }
  return Buffer.concat([Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1"), body ?? Buffer.alloc(0)]);
}

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: RFC 9110 section 5.5 excludes exactly these
const VALUE = /^[^\x00-\x08\x0a-\x1f\x7f]*$/;
const STATUS_LINE = /^HTTP\/1\.([01]) ([1-5]\d\d)(?: .*)?$/;
const END_OF_HEAD = "\r\n\r\n";
/** Of a chunk's size with its extensions. */
const CHUNK_LINE_BYTES = 256;

type State = "head" | "length" | "until-close" | "chunk-size" | "chunk" | "chunk-end" | "trailers" | "done";

/** Reads one response, as it comes in. Interim ones (1xx) are passed over. */
export class Http1ResponseReader {
  readonly #headLimitBytes: number;
  readonly #bodyLimitBytes: number;
  #state: State = "head";
  /** What was received and not yet understood. */
  #pending: Buffer = Buffer.alloc(0);
  #headBytes = 0;
  #status = 0;
  #contentType = "";
  #location: string | undefined;
  readonly #body: Buffer[] = [];
  #bodyBytes = 0;
  /** Of the body or chunk that is being read. */
  #missingBytes = 0;

  /** @param limits of all heads and trailers together, and of the body */
  constructor(limits: { readonly headBytes: number; readonly bodyBytes: number }) {
    this.#headLimitBytes = limits.headBytes;
    this.#bodyLimitBytes = limits.bodyBytes;
  }

  /**
   * The response once it is whole, null before.
   * @throws NightlatchError net/unreachable (not HTTP), net/too-large
   */
  push(bytes: Buffer): Http1Response | null {
    this.#pending = this.#pending.length === 0 ? bytes : Buffer.concat([this.#pending, bytes]);
    while (this.#state !== "done" && this.#step());
    return this.#state === "done" ? this.#response() : null;
  }

  /** The connection has ended. @throws NightlatchError net/unreachable: before the response did */
  end(): Http1Response {
    if (this.#state === "until-close") return this.#response();
    throw new NightlatchError("net/unreachable", "broke off its answer (ECONNRESET)");
  }

  /** False where more bytes are needed. */
  #step(): boolean {
    switch (this.#state) {
      case "head":
        return this.#readHead();
      case "until-close":
        return this.#take(this.#pending.length);
      case "length":
      case "chunk":
        return this.#readMissing();
      case "chunk-size":
        return this.#readChunkSize();
      case "chunk-end":
        return this.#readChunkEnd();
      case "trailers":
        return this.#readTrailer();
      case "done":
        return false;
    }
  }

  #readHead(): boolean {
    const end = this.#pending.indexOf(END_OF_HEAD);
    this.#limitHead(end < 0 ? this.#pending.length : end);
    if (end < 0) {
      // Told as soon as it shows: a server of another protocol may wait for an answer to its
      // greeting.
      if (!"HTTP/1.".startsWith(this.#pending.toString("latin1", 0, 7))) malformed("status line");
      return false;
    }
    const [statusLine = "", ...lines] = this.#consume(end + END_OF_HEAD.length)
      .slice(0, -END_OF_HEAD.length)
      .split("\r\n");
    this.#headBytes += end;
    const [, minor, status] = STATUS_LINE.exec(statusLine) ?? malformed("status line");
    this.#status = Number(status);
    const fields = parseFields(lines);
    if (this.#status === 101) malformed("upgrade");
    if (this.#status >= 200) this.#frame(fields, minor === "1");
    return true;
  }

  /** RFC 9112 section 6.3. */
  #frame(fields: ReadonlyMap<string, string>, chunkable: boolean): void {
    this.#contentType = fields.get("content-type") ?? "";
    this.#location = fields.get("location");
    const length = fields.get("content-length");
    const coding = fields.get("transfer-encoding");
    if (coding !== undefined && (length !== undefined || !chunkable || coding.toLowerCase() !== "chunked")) {
      malformed("transfer coding");
    }
    if (length !== undefined && !/^\d{1,15}$/.test(length)) malformed("content length");
    if (this.#status === 204 || this.#status === 304) this.#state = "done";
    else if (coding !== undefined) this.#state = "chunk-size";
    else if (length === undefined) this.#state = "until-close";
    else this.#expect(Number(length), "length", "done");
  }

  #readMissing(): boolean {
    const lengthBytes = Math.min(this.#missingBytes, this.#pending.length);
    this.#missingBytes -= lengthBytes;
    if (this.#missingBytes === 0) this.#state = this.#state === "chunk" ? "chunk-end" : "done";
    return this.#take(lengthBytes);
  }

  #readChunkSize(): boolean {
    const line = this.#line();
    if (line === null) return false;
    const [, size] = /^([0-9A-Fa-f]{1,8})[ \t]*(?:;.*)?$/.exec(line) ?? malformed("chunk");
    this.#expect(Number.parseInt(String(size), 16), "chunk", "trailers");
    return true;
  }

  #readChunkEnd(): boolean {
    if (this.#pending.length < 2) return false;
    if (this.#consume(2) !== "\r\n") malformed("chunk");
    this.#state = "chunk-size";
    return true;
  }

  #readTrailer(): boolean {
    const line = this.#line();
    if (line === null) return false;
    this.#headBytes += line.length;
    this.#limitHead(0);
    if (line === "") this.#state = "done";
    else parseFields([line]);
    return true;
  }

  #expect(lengthBytes: number, state: State, whenNone: State): void {
    if (this.#bodyBytes + lengthBytes > this.#bodyLimitBytes) this.#tooLong();
    this.#missingBytes = lengthBytes;
    this.#state = lengthBytes === 0 ? whenNone : state;
  }

  /** Moves bytes to the body; false where there are none. */
  #take(lengthBytes: number): boolean {
    if (lengthBytes === 0) return false;
    this.#bodyBytes += lengthBytes;
    if (this.#bodyBytes > this.#bodyLimitBytes) this.#tooLong();
    this.#body.push(this.#pending.subarray(0, lengthBytes));
    this.#pending = this.#pending.subarray(lengthBytes);
    return true;
  }

  /** A line of a chunked body, without its end. */
  #line(): string | null {
    const end = this.#pending.indexOf("\r\n");
    if ((end < 0 ? this.#pending.length : end) > CHUNK_LINE_BYTES) malformed("chunk");
    return end < 0 ? null : this.#consume(end + 2).slice(0, -2);
  }

  #consume(lengthBytes: number): string {
    const text = this.#pending.toString("latin1", 0, lengthBytes);
    this.#pending = this.#pending.subarray(lengthBytes);
    return text;
  }

  #limitHead(moreBytes: number): void {
    if (this.#headBytes + moreBytes <= this.#headLimitBytes) return;
    throw new NightlatchError("net/too-large", `answered with over ${this.#headLimitBytes} bytes of headers`);
  }

  #tooLong(): never {
    throw new NightlatchError("net/too-large", `answered with over ${this.#bodyLimitBytes} bytes`);
  }

  #response(): Http1Response {
    return {
      status: this.#status,
      contentType: this.#contentType,
      ...(this.#location === undefined ? {} : { location: this.#location }),
      body: Buffer.concat(this.#body),
    };
  }
}

/** OWS of RFC 9110 section 5.6.3. No pattern, which would begin anew at each of many blanks. */
function trimOws(text: string): string {
  const isBlank = (at: number) => text[at] === " " || text[at] === "\t";
  let [start, end] = [0, text.length];
  while (start < end && isBlank(start)) start++;
  while (start < end && isBlank(end - 1)) end--;
  return text.slice(start, end);
}

/**
 * By their names in lower case. A field whose meaning a second one could change (RFC 9112 section
 * 6.3) must be the only one.
 */
function parseFields(lines: readonly string[]): Map<string, string> {
  const fields = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(":");
    const name = line.slice(0, Math.max(0, colon)).toLowerCase();
    const value = trimOws(line.slice(colon + 1));
    if (!TOKEN.test(name) || !VALUE.test(value)) malformed("header");
    if (fields.has(name) && (name === "content-length" || name === "transfer-encoding")) malformed("header");
    fields.set(name, value);
  }
  return fields;
}

function authorization({ username, password }: URL): Record<string, string> {
  if (username === "" && password === "") return {};
  const credentials = `${decoded(username)}:${decoded(password)}`;
  return { authorization: `Basic ${Buffer.from(credentials).toString("base64")}` };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function lengthOf(body: Uint8Array | undefined): Record<string, string> {
  return body === undefined ? {} : { "content-length": String(body.byteLength) };
}

function malformed(what: string): never {
  throw new NightlatchError("net/unreachable", `did not answer in HTTP (${what})`);
}
