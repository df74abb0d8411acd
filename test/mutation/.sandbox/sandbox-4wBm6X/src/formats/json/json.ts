// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";

/** What JSON text can hold. */
export type Json = null | boolean | number | string | Json[] | JsonObject;
/** An object of JSON text. */
export interface JsonObject {
  readonly [key: string]: Json;
}

/** Tells whether it is an object: no list, and not null. */
export function isJsonObject(json: Json | undefined): json is JsonObject {
  return typeof json === "object" && json !== null && !Array.isArray(json);
}

interface JsonLimits {
  readonly lengthBytes: number;
  readonly depth?: number;
}

const DEFAULT_DEPTH = 16;

/**
 * Reads JSON text (RFC 8259) that came from outside. It is bounded in length and depth, valid
 * UTF-8, and names no member twice: RFC 8259 section 4 leaves the meaning of that open, so two
 * readers could see two documents. The objects have no prototype.
 * @param what names the document in the message
 * @throws NightlatchError json/malformed, json/too-large, json/duplicate-key
 */
export function parseJson(text: Uint8Array | string, what: string, limits: JsonLimits): Json {
  const lengthBytes = typeof text === "string" ? Buffer.byteLength(text) : text.byteLength;
  if (lengthBytes > limits.lengthBytes) {
    throw new NightlatchError("json/too-large", `${what} is larger than ${limits.lengthBytes} bytes`);
  }
  return new Reader(
    typeof text === "string" ? text : decodeUtf8(text, what),
    what,
    limits.depth ?? DEFAULT_DEPTH,
  ).document();
}

function decodeUtf8(bytes: Uint8Array, what: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new NightlatchError("json/malformed", `${what} is not UTF-8`);
  }
}

const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const SPACE = /[ \t\n\r]*/y;
// A whole string literal; JSON.parse then resolves its escapes.
// biome-ignore lint/suspicious/noControlCharactersInRegex: RFC 8259 section 7 excludes these
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const LITERALS: readonly (readonly [string, Json])[] = [
  ["true", true],
  ["false", false],
  ["null", null],
];

class Reader {
  readonly #text: string;
  readonly #what: string;
  readonly #maxDepth: number;
  #at = 0;

  constructor(text: string, what: string, maxDepth: number) {
    this.#text = text;
    this.#what = what;
    this.#maxDepth = maxDepth;
  }

  document(): Json {
    const value = this.#value(0);
    this.#skipSpace();
    if (this.#at !== this.#text.length) this.#fail();
    return value;
  }

  #value(depth: number): Json {
    if (depth > this.#maxDepth) {
      throw new NightlatchError("json/too-large", `${this.#what} is nested deeper than ${this.#maxDepth}`);
    }
    this.#skipSpace();
    switch (this.#text[this.#at]) {
      case "{":
        return this.#object(depth);
      case "[":
        return this.#array(depth);
      case '"':
        return this.#string();
      default:
        return this.#literalOrNumber();
    }
  }

  #object(depth: number): JsonObject {
    const object: Record<string, Json> = Object.create(null);
    this.#at++;
    if (this.#take("}")) return object;
    do {
      this.#skipSpace();
      const key = this.#string();
      if (key in object) {
        throw new NightlatchError(
          "json/duplicate-key",
          `${this.#what} names ${JSON.stringify(key.slice(0, 40))} twice`,
        );
      }
      this.#expect(":");
      object[key] = this.#value(depth + 1);
    } while (this.#take(","));
    this.#expect("}");
    return object;
  }

  #array(depth: number): Json[] {
    const array: Json[] = [];
    this.#at++;
    if (this.#take("]")) return array;
    do array.push(this.#value(depth + 1));
    while (this.#take(","));
    this.#expect("]");
    return array;
  }

  #string(): string {
    return JSON.parse(this.#match(STRING)) as string;
  }

  #number(): number {
    const value = Number(this.#match(NUMBER));
    if (!Number.isFinite(value)) this.#fail();
    return value;
  }

  #literalOrNumber(): Json {
    const literal = LITERALS.find(([word]) => this.#text.startsWith(word, this.#at));
    if (literal === undefined) return this.#number();
    this.#at += literal[0].length;
    return literal[1];
  }

  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0];
    if (found === undefined || found === "") return this.#fail();
    this.#at += found.length;
    return found;
  }

  #take(character: string): boolean {
    this.#skipSpace();
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  #expect(character: string): void {
    if (!this.#take(character)) this.#fail();
  }

  #skipSpace(): void {
    // The common case, at a fraction of the pattern's cost.
    if (this.#text.charCodeAt(this.#at) > 0x20) return;
    SPACE.lastIndex = this.#at;
    this.#at += SPACE.exec(this.#text)?.[0].length ?? 0;
  }

  #fail(): never {
    throw new NightlatchError("json/malformed", `${this.#what} is not JSON: unexpected input at character ${this.#at}`);
  }
}
