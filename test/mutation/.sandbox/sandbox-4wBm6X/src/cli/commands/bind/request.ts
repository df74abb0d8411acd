// @ts-nocheck
import { NightlatchError } from "../../../core/errors.ts";
import { SHARE_COUNT } from "../../../formats/clevis/sss.ts";
import { isJsonObject, type Json, type JsonObject, parseJson } from "../../../formats/json/json.ts";
import { isInteger } from "../../../formats/json/narrow.ts";
import { DEPTH, SERVER_COUNT } from "../../../pins/nested.ts";

/** Which words a pin takes behind its name. Each pin says it of itself: `pins.ts`. */
export interface PinWords {
  readonly name: string;
  /** The words, for a person, e.g. `URL [thp=THP]`; empty where it takes none. */
  readonly usage: string;
  /** How many words have to follow the name. */
  readonly needs: number;
  /** Whether a word may follow these. It is neither the name of a pin nor a parenthesis. */
  takes(word: string, before: readonly string[]): boolean;
  /**
   * The members of the pin's configuration as clevis has it, each with the words that say the same;
   * null for a value that cannot be. They come in the order of this list.
   */
  readonly members: Readonly<Record<string, (value: Json) => readonly string[] | null>>;
}

/** What `bind` is asked for. */
interface BindRequest {
  readonly devices: readonly string[];
  readonly pin: PinRequest;
}

/** A pin with its words, or a threshold over several. */
export type PinRequest = PlainRequest | SssRequest;

interface PlainRequest {
  readonly name: string;
  readonly words: readonly string[];
}

/** So many of the children give the key. */
interface SssRequest {
  readonly threshold: number;
  readonly children: readonly PinRequest[];
}

const SSS = "sss";
const SSS_USAGE = "T PIN…";
const CONFIGURATION_BYTES = 64 << 10;

/**
 * Takes the words behind `bind` apart: docs/decisions/100-the-words-of-bind.md. It is pure: no word
 * is looked up anywhere.
 * @param configuration what `--config` gave, in clevis's form, in place of the pin's words
 * @throws NightlatchError usage/wrong, which says which word is wrong; json/*
 */
export function parseBindRequest(
  words: readonly string[],
  pins: readonly PinWords[],
  configuration: Uint8Array | null = null,
): BindRequest {
  const reader = new Reader(words, pins);
  const devices = reader.devices();
  const pin = configuration === null ? reader.pin(0) : reader.configured(configuration);
  reader.end();
  return { devices, pin };
}

/** Gives the pins of a request that are no sss, in their order. */
export function leavesOf(request: PinRequest): readonly PlainRequest[] {
  return "children" in request ? request.children.flatMap(leavesOf) : [request];
}

class Reader {
  readonly #words: readonly string[];
  readonly #pins: readonly PinWords[];
  #at = 0;
  #leaves = 0;
  /** What the last words were taken by, which a word that nobody takes may have been meant for. */
  #last: { readonly name: string; readonly usage: string } = { name: SSS, usage: SSS_USAGE };

  constructor(words: readonly string[], pins: readonly PinWords[]) {
    this.#words = words;
    this.#pins = pins;
  }

  /** All words before the first name of a pin. */
  devices(): readonly string[] {
    const first = this.#words.findIndex((word) => this.#isPin(word));
    if (first === 0) this.#fail("a volume comes before the pin", "Name the volume first, such as /dev/vdb.");
    if (first === -1) {
      const what = this.#words.length < 2 ? "the pin is missing" : `there is no pin ${shown(this.#words[1] ?? "")}`;
      this.#fail(what, `Say ${this.#names()}. See: nightlatch bind --help`);
    }
    const devices = this.#words.slice(0, first);
    for (const [index, device] of devices.entries()) {
      this.#at = index;
      if (isParenthesis(device)) this.#fail(`${this.#here()} belongs within an sss alone`);
      if (devices.indexOf(device) !== index) this.#fail(`${this.#here()} names a volume twice`);
    }
    this.#at = first;
    return devices;
  }

  pin(depth: number): PinRequest {
    const name = this.#words[this.#at++] ?? "";
    if (name === SSS) return this.#sss(depth);
    const pin = this.#find(name);
    this.#last = pin;
    const configuration = this.#inline(name);
    if (configuration !== null) return this.#plain(pin, configuration);
    const words: string[] = [];
    for (let word = this.#next(); word !== undefined && pin.takes(word, words); word = this.#next()) {
      words.push(word);
      this.#at++;
    }
    this.#requireEnough(pin, words);
    this.#count();
    return { name, words };
  }

  /** The whole pin from a configuration; its name alone is among the words. */
  configured(text: Uint8Array): PinRequest {
    const name = this.#words[this.#at++] ?? "";
    this.#last = { name, usage: "nothing more, with --config" };
    return this.#fromJson(name, parseConfiguration(text, name), 0);
  }

  end(): void {
    if (this.#at < this.#words.length) this.#failLeftOver();
  }

  #sss(depth: number): SssRequest {
    this.#requireShallow(depth);
    this.#last = { name: SSS, usage: SSS_USAGE };
    const configuration = this.#inline(SSS);
    if (configuration !== null) return this.#sssOf(configuration, depth);
    const threshold = this.#words[this.#at] ?? "";
    if (!/^[1-9]\d?$/.test(threshold)) {
      const where = this.#at < this.#words.length ? `${this.#here()} is none` : "none follows it";
      this.#fail(
        `sss needs a threshold, and ${where}`,
        "Say how many of the pins give the key, such as: sss 2 latch tpm2",
      );
    }
    this.#at++;
    const children: PinRequest[] = [];
    for (let word = this.#words[this.#at]; word !== undefined && word !== ")"; word = this.#words[this.#at]) {
      if (word === "(") children.push(this.#bracketed(depth));
      else if (word === SSS)
        this.#fail(`${this.#here()} is an sss within another`, "Put it in parentheses: \\( sss T PIN… \\)");
      else if (this.#isPin(word)) children.push(this.pin(depth + 1));
      else this.#failLeftOver();
    }
    return this.#threshold(Number(threshold), children);
  }

  #bracketed(depth: number): PinRequest {
    this.#at++;
    if (!this.#isPin(this.#words[this.#at] ?? "")) {
      const what = this.#at < this.#words.length ? this.#here() : "the end";
      this.#fail(`a pin belongs behind a parenthesis, and not ${what}`, `Say ${this.#names()}.`);
    }
    const child = this.pin(depth + 1);
    if (this.#words[this.#at] !== ")") {
      if (this.#at < this.#words.length) this.#failLeftOver();
      this.#fail("a parenthesis is not closed", "Each ( needs its ) as a word of its own; a shell takes \\( and \\).");
    }
    this.#at++;
    return child;
  }

  /** clevis's own form, as a word behind the pin's name. */
  #inline(name: string): Json | null {
    const word = this.#words[this.#at];
    if (word?.startsWith("{") !== true) return null;
    this.#at++;
    return parseConfiguration(word, name);
  }

  #fromJson(name: string, json: Json, depth: number): PinRequest {
    return name === SSS ? this.#sssOf(json, depth) : this.#plain(this.#find(name), json);
  }

  #plain(pin: PinWords, json: Json): PlainRequest {
    if (!isJsonObject(json)) this.#fail(`the configuration of ${pin.name} is no object`);
    const known = Object.keys(pin.members);
    const strange = Object.keys(json).find((member) => !known.includes(member));
    if (strange !== undefined) {
      const takes = known.length === 0 ? "It takes none." : `It takes ${known.join(", ")}.`;
      this.#fail(`the configuration of ${pin.name} has a member ${shown(strange)}, which bind does not take`, takes);
    }
    const words = Object.entries(pin.members).flatMap(([member, wordsOf]) => {
      const value = json[member];
      if (value === undefined) return [];
      return wordsOf(value) ?? this.#fail(`the member ${member} of the configuration of ${pin.name} cannot be that`);
    });
    for (const [index, word] of words.entries()) {
      if (!pin.takes(word, words.slice(0, index)))
        this.#fail(`the configuration of ${pin.name} asks for what cannot be`, `It takes ${pin.usage}.`);
    }
    this.#requireEnough(pin, words);
    this.#count();
    return { name: pin.name, words };
  }

  /** `{"t":T,"pins":{NAME:CONFIGURATION|[CONFIGURATION…]…}}`, as clevis-encrypt-sss takes it. */
  #sssOf(json: Json, depth: number): SssRequest {
    this.#requireShallow(depth);
    if (!isJsonObject(json)) this.#fail("the configuration of sss is no object");
    const { t: threshold, pins, ...others }: JsonObject = json;
    const [strange] = Object.keys(others);
    if (strange !== undefined)
      this.#fail(`the configuration of sss has a member ${shown(strange)}`, "It takes t and pins.");
    if (!isInteger(threshold, 1, SHARE_COUNT)) this.#fail("t of the configuration of sss is no threshold");
    if (!isJsonObject(pins)) this.#fail("pins of the configuration of sss is no object");
    const children: PinRequest[] = [];
    for (const [name, value] of Object.entries(pins)) {
      for (const one of Array.isArray(value) ? value : [value]) children.push(this.#fromJson(name, one, depth + 1));
    }
    return this.#threshold(threshold, children);
  }

  #threshold(threshold: number, children: readonly PinRequest[]): SssRequest {
    if (children.length > SHARE_COUNT) this.#fail(`an sss has at most ${SHARE_COUNT} pins`);
    if (children.length < threshold) {
      this.#fail(`sss ${threshold} needs ${threshold} pins at least, and has ${children.length}`);
    }
    return { threshold, children };
  }

  #requireEnough(pin: PinWords, words: readonly string[]): void {
    if (words.length >= pin.needs) return;
    if (this.#next() !== undefined) this.#failLeftOver();
    this.#fail(`${pin.name} needs more words`, `They are: ${pin.name} ${pin.usage}`);
  }

  /** As deep as what is written here is read again. */
  #requireShallow(depth: number): void {
    if (depth >= DEPTH) this.#fail(`sss within sss is at most ${DEPTH} deep`);
  }

  #count(): void {
    this.#leaves++;
    if (this.#leaves > SERVER_COUNT) this.#fail(`a binding has at most ${SERVER_COUNT} pins in all`);
  }

  /** The next word, if it can be one of a pin's own. */
  #next(): string | undefined {
    const word = this.#words[this.#at];
    return word === undefined || isParenthesis(word) || this.#isPin(word) ? undefined : word;
  }

  #isPin(word: string): boolean {
    return word === SSS || this.#pins.some(({ name }) => name === word);
  }

  #find(name: string): PinWords {
    const pin = this.#pins.find((pin) => pin.name === name);
    return pin ?? this.#fail(`there is no pin ${shown(name)}`, `Say ${this.#names()}.`);
  }

  #names(): string {
    return [...this.#pins.map(({ name }) => name), SSS].join(", ");
  }

  #here(): string {
    const word = this.#words[this.#at] ?? "";
    return `word ${this.#at + 1}${isPlain(word) ? `, ${shown(word)},` : ""}`;
  }

  #failLeftOver(): never {
    const word = this.#words[this.#at] ?? "";
    if (word === ")") this.#fail(`${this.#here()} closes no parenthesis`);
    if (word === "(") this.#fail(`${this.#here()} belongs within an sss alone`);
    if (this.#isPin(word)) {
      this.#fail(`${this.#here()} is one pin more than a binding has`, "Several pins go in an sss: sss 2 latch tpm2");
    }
    const { name, usage } = this.#last;
    const isGlued = word.length > 1 && (word.startsWith("(") || word.endsWith(")"));
    const remedy = isGlued
      ? "A parenthesis is a word of its own."
      : usage === ""
        ? `${name} takes no word.`
        : `The words of ${name} are: ${usage}`;
    this.#fail(`${this.#here()} is neither a pin nor a word of ${name}`, remedy);
  }

  #fail(what: string, remedy?: string): never {
    throw new NightlatchError("usage/wrong", `bind: ${what}`, {
      meaning: "Nothing was changed.",
      ...(remedy === undefined ? {} : { remedy }),
    });
  }
}

function parseConfiguration(text: Uint8Array | string, name: string): Json {
  return parseJson(text, `the configuration of ${isPlain(name) ? name : "the pin"}`, {
    lengthBytes: CONFIGURATION_BYTES,
  });
}

const isParenthesis = (word: string): boolean => word === "(" || word === ")";

/** A word may be an invite, or an address with a password: what could be is not repeated. */
const isPlain = (word: string): boolean => /^[a-z0-9=,()_+-]{1,24}$/.test(word);

const shown = (word: string): string => (isPlain(word) ? JSON.stringify(word) : "of that name");
