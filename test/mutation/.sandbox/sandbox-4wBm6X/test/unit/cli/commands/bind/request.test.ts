// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { BIND_PINS } from "../../../../../src/cli/commands/bind/pins.ts";
import {
  leavesOf,
  type PinRequest,
  type PinWords,
  parseBindRequest,
} from "../../../../../src/cli/commands/bind/request.ts";
import { isError } from "../../../../../src/core/errors.ts";

/** A pin of flags and assignments, as that of a chip is. */
const chip: PinWords = {
  name: "chip",
  usage: "[pcr=LIST] [pin]",
  needs: 0,
  takes: (word, before) =>
    /^(?:pcr=[\d,]+|pin)$/.test(word) && !before.some((one) => one.slice(0, 3) === word.slice(0, 3)),
  members: { pcr_ids: (value) => (typeof value === "string" ? [`pcr=${value}`] : null) },
};
const PINS: readonly PinWords[] = [...BIND_PINS, chip];

const parse = (...words: string[]) => parseBindRequest(words, PINS);
const INVITE = "nli1.eyJ1cmwiOiJodHRwOi8va2V5cy5leGFtcGxlOjc2NTQifQ";
const URL_A = "http://a.example:7500";
const URL_B = "http://b.example";
const latch = (...words: string[]): PinRequest => ({ name: "latch", words });
const tang = (...words: string[]): PinRequest => ({ name: "tang", words });
const chipOf = (...words: string[]): PinRequest => ({ name: "chip", words });

const TAKEN: readonly (readonly [string, readonly string[], readonly string[], PinRequest])[] = [
  ["a latch", ["/dev/vdb", "latch"], ["/dev/vdb"], latch()],
  ["an invite", ["/dev/vdb", "latch", INVITE], ["/dev/vdb"], latch(INVITE)],
  ["an invite from standard input", ["/dev/vdb", "latch", "-"], ["/dev/vdb"], latch("-")],
  ["another latch of a server", ["/dev/vdb", "latch", `server=${URL_A}`], ["/dev/vdb"], latch(`server=${URL_A}`)],
  ["a tang", ["/dev/vdb", "tang", URL_A], ["/dev/vdb"], tang(URL_A)],
  ["a thumbprint", ["/dev/vdb", "tang", URL_A, "thp=AbC"], ["/dev/vdb"], tang(URL_A, "thp=AbC")],
  ["several volumes", ["/dev/a", "./tang", "b.img", "latch"], ["/dev/a", "./tang", "b.img"], latch()],
  [
    "shares, each with its words",
    ["/dev/a", "sss", "2", "latch", INVITE, "chip", "pcr=7,11", "pin"],
    ["/dev/a"],
    { threshold: 2, children: [latch(INVITE), chipOf("pcr=7,11", "pin")] },
  ],
  [
    "shares within shares",
    ["/dev/a", "sss", "2", "(", "tang", URL_A, ")", "(", "sss", "1", "tang", URL_B, "latch", ")", "chip"],
    ["/dev/a"],
    { threshold: 2, children: [tang(URL_A), { threshold: 1, children: [tang(URL_B), latch()] }, chipOf()] },
  ],
  [
    "clevis's configuration",
    [
      "/dev/a",
      "sss",
      `{"t":1,"pins":{"tang":[{"url":"${URL_A}"},{"thp":"AbC","url":"${URL_B}"}],"chip":{"pcr_ids":"7"}}}`,
    ],
    ["/dev/a"],
    { threshold: 1, children: [tang(URL_A), tang(URL_B, "thp=AbC"), chipOf("pcr=7")] },
  ],
  [
    "clevis's configuration of an sss within an sss",
    ["/dev/a", "sss", `{"t":1,"pins":{"sss":{"t":1,"pins":{"latch":{}}},"tang":{"url":"${URL_A}"}}}`],
    ["/dev/a"],
    { threshold: 1, children: [{ threshold: 1, children: [latch()] }, tang(URL_A)] },
  ],
  ["one pin's configuration", ["/dev/a", "tang", `{"url":"${URL_A}"}`], ["/dev/a"], tang(URL_A)],
];

for (const [what, words, devices, pin] of TAKEN) {
  test(`is taken: ${what}`, () => assert.deepEqual(parse(...words), { devices, pin }));
}

test("a configuration from a file stands in the place of the words", () => {
  const file = Buffer.from(`{"t":2,"pins":{"tang":[{"url":"${URL_A}"},{"url":"${URL_B}"}]}}`);
  assert.deepEqual(parseBindRequest(["/dev/a", "/dev/b", "sss"], PINS, file), {
    devices: ["/dev/a", "/dev/b"],
    pin: { threshold: 2, children: [tang(URL_A), tang(URL_B)] },
  });
  assert.throws(() => parseBindRequest(["/dev/a", "tang", URL_A], PINS, Buffer.from(`{"url":"${URL_B}"}`)), {
    message: "bind: word 3 is neither a pin nor a word of tang",
    remedy: "The words of tang are: nothing more, with --config",
  });
});

const deep = (levels: number): string[] => (levels === 0 ? ["latch"] : ["sss", "1", "(", ...deep(levels - 1), ")"]);
const many = (count: number): string[] => Array.from({ length: count }, () => "chip");

const REFUSED: readonly (readonly [string, readonly string[], RegExp])[] = [
  ["no pin", ["/dev/a"], /^bind: the pin is missing$/],
  ["a slip in the pin", ["/dev/a", "latsch", INVITE], /^bind: there is no pin "latsch"$/],
  ["no volume", ["latch", INVITE], /^bind: a volume comes before the pin$/],
  ["a volume twice", ["/dev/a", "/dev/b", "/dev/a", "latch"], /^bind: word 3 names a volume twice$/],
  [
    "a parenthesis among the volumes",
    ["/dev/a", "(", "latch", ")"],
    /^bind: word 2, "\(", belongs within an sss alone$/,
  ],
  [
    "two pins without a threshold",
    ["/dev/a", "latch", "chip"],
    /^bind: word 3, "chip", is one pin more than a binding has$/,
  ],
  ["a second invite", ["/dev/a", "latch", INVITE, INVITE], /^bind: word 4 is neither a pin nor a word of latch$/],
  [
    "a word that is no invite",
    ["/dev/a", "sss", "1", "latch", "yubikey"],
    /^bind: word 5, "yubikey", is neither a pin nor a word of latch$/,
  ],
  ["a tang without its address", ["/dev/a", "tang"], /^bind: tang needs more words$/],
  [
    "a tang without its address, before another",
    ["/dev/a", "sss", "1", "tang", "latch"],
    /^bind: tang needs more words$/,
  ],
  [
    "a thumbprint in the address's place",
    ["/dev/a", "tang", "thp=AbC"],
    /^bind: word 3 is neither a pin nor a word of tang$/,
  ],
  ["a flag twice", ["/dev/a", "chip", "pin", "pin"], /^bind: word 4, "pin", is neither a pin nor a word of chip$/],
  ["no threshold", ["/dev/a", "sss", "latch"], /^bind: sss needs a threshold, and word 3, "latch", is none$/],
  ["no threshold and nothing else", ["/dev/a", "sss"], /^bind: sss needs a threshold, and none follows it$/],
  ["a threshold of zero", ["/dev/a", "sss", "0", "latch"], /^bind: sss needs a threshold/],
  [
    "a threshold above the shares",
    ["/dev/a", "sss", "3", "latch", "chip"],
    /^bind: sss 3 needs 3 pins at least, and has 2$/,
  ],
  ["no share", ["/dev/a", "sss", "1"], /^bind: sss 1 needs 1 pins at least, and has 0$/],
  ["an open parenthesis", ["/dev/a", "sss", "1", "(", "latch"], /^bind: a parenthesis is not closed$/],
  ["a parenthesis too many", ["/dev/a", "sss", "1", "latch", ")"], /^bind: word 5, "\)", closes no parenthesis$/],
  [
    "an empty parenthesis",
    ["/dev/a", "sss", "1", "(", ")"],
    /^bind: a pin belongs behind a parenthesis, and not word 5, "\)",$/,
  ],
  [
    "a parenthesis that is glued on",
    ["/dev/a", "sss", "1", "(latch", ")"],
    /^bind: word 4, "\(latch", is neither a pin nor a word of sss$/,
  ],
  [
    "two pins in one parenthesis",
    ["/dev/a", "sss", "1", "(", "latch", "chip", ")"],
    /^bind: word 6, "chip", is one pin more/,
  ],
  [
    "an sss within an sss that is not in parentheses",
    ["/dev/a", "sss", "1", "sss", "1", "latch"],
    /^bind: word 4, "sss", is an sss within another$/,
  ],
  ["too deep", ["/dev/a", ...deep(5)], /^bind: sss within sss is at most 4 deep$/],
  ["too many shares", ["/dev/a", "sss", "1", ...many(65)], /^bind: a binding has at most 64 pins in all$/],
  [
    "a member that is not known",
    ["/dev/a", "tang", `{"url":"${URL_A}","adv":{}}`],
    /^bind: the configuration of tang has a member "adv"/,
  ],
  [
    "a value that cannot be",
    ["/dev/a", "tang", '{"url":7}'],
    /^bind: the member url of the configuration of tang cannot be that$/,
  ],
  [
    "a configuration that is a list",
    ["/dev/a", "tang", '{"t":[]}'],
    /^bind: the configuration of tang has a member "t"/,
  ],
  ["an sss of an unknown pin", ["/dev/a", "sss", '{"t":1,"pins":{"yubikey":{}}}'], /^bind: there is no pin "yubikey"$/],
  [
    "an sss without its threshold",
    ["/dev/a", "sss", '{"pins":{"latch":{}}}'],
    /^bind: t of the configuration of sss is no threshold$/,
  ],
  ["a threshold in words", ["/dev/a", "sss", '{"t":"1","pins":{"latch":{}}}'], /^bind: t of the configuration/],
  [
    "a member beside",
    ["/dev/a", "sss", '{"t":1,"pins":{"latch":{}},"x":1}'],
    /^bind: the configuration of sss has a member "x"$/,
  ],
];

for (const [what, words, message] of REFUSED) {
  test(`is refused: ${what}`, () => {
    assert.throws(
      () => parse(...words),
      (error) => {
        assert.ok(isError(error, "usage/wrong"));
        assert.match(error.message, message);
        assert.equal(error.meaning, "Nothing was changed.");
        return true;
      },
    );
  });
}

test("a configuration that is no JSON, or names a member twice, is refused as such", () => {
  assert.throws(() => parse("/dev/a", "tang", "{"), { code: "json/malformed" });
  assert.throws(() => parse("/dev/a", "tang", `{"url":"${URL_A}","url":"${URL_B}"}`), { code: "json/duplicate-key" });
});

test("four levels and 64 shares are taken", () => {
  assert.deepEqual(leavesOf(parse("/dev/a", ...deep(4)).pin), [latch()]);
  assert.equal(leavesOf(parse("/dev/a", "sss", "1", ...many(64)).pin).length, 64);
});

const leaf = fc.oneof(
  fc.constantFrom(latch(), latch(INVITE), latch("-"), tang(URL_A), tang(URL_B, "thp=AbC")),
  fc.constantFrom(chipOf(), chipOf("pin"), chipOf("pcr=7", "pin")),
);
const { request } = fc.letrec<{ request: PinRequest }>((tie) => ({
  request: fc.oneof(
    { depthSize: "small", maxDepth: 3 },
    leaf,
    fc
      .array(tie("request"), { minLength: 1, maxLength: 3 })
      .chain((children) => fc.integer({ min: 1, max: children.length }).map((threshold) => ({ threshold, children }))),
  ),
}));

/** As a person would write it; `brackets` says whether where they may be left out. */
function write(pin: PinRequest, brackets: boolean): string[] {
  if (!("children" in pin)) return [pin.name, ...pin.words];
  const children = pin.children.map((child) => {
    const words = write(child, brackets);
    return brackets || "children" in child ? ["(", ...words, ")"] : words;
  });
  return ["sss", String(pin.threshold), ...children.flat()];
}

test("what is written is read back, with all parentheses and with those that it needs", () => {
  fc.assert(
    fc.property(request, fc.boolean(), (pin, brackets) => {
      assert.deepEqual(parse("/dev/a", ...write(pin, brackets)).pin, pin);
    }),
  );
});

const word = fc.oneof(
  fc.constantFrom("/dev/a", "/dev/b", "latch", "tang", "chip", "sss", "(", ")", "1", "2", "pin", "pcr=7", "thp=x"),
  fc.constantFrom(INVITE, URL_A, '{"url":"http://a"}', '{"t":1,"pins":{"latch":{}}}', "-", ""),
  fc.string({ maxLength: 12 }),
);

test("any words are a request or wrong, and nothing else happens", () => {
  fc.assert(
    fc.property(fc.array(word, { maxLength: 24 }), (words) => {
      try {
        const { devices, pin } = parse(...words);
        assert.ok(devices.length > 0 && leavesOf(pin).length > 0);
      } catch (error) {
        assert.ok(isError(error) && /^(?:usage\/wrong|json\/)/.test(error.code), String(error));
      }
    }),
    { numRuns: 3000 },
  );
});

test("a word that may be secret is repeated by no message", () => {
  const secrets = [INVITE, "http://user:Hunter2@a.example", "PassphraseOfTheDisk"];
  fc.assert(
    fc.property(fc.array(fc.oneof(word, fc.constantFrom(...secrets)), { maxLength: 12 }), (words) => {
      try {
        parse(...words);
      } catch (error) {
        assert.ok(isError(error));
        const told = `${error.message} ${error.remedy}`;
        for (const secret of secrets) assert.ok(!told.includes(secret), told);
      }
    }),
    { numRuns: 2000 },
  );
});
