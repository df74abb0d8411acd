/** What systemd's generator makes of random crypttab files, and what we read in them. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import {
  type CrypttabEntry,
  devicePathOf,
  isNetworkVolume,
  isStartedByHand,
  mayFail,
  parseCrypttab,
} from "../../../src/formats/systemd/crypttab.ts";
import { hearCrypttab } from "../../../src/formats/systemd/crypttab-heard.ts";
import { placeOf } from "../../../src/formats/systemd/crypttab-places.ts";
import { type Generated, type GeneratedUnit, generateUnits } from "../../support/systemd/cryptsetup-units.ts";
import { cmdline, crypttabLine, idleLine, stopperLine } from "../../support/systemd/grammar.ts";

const skip = existsSync("/usr/lib/systemd/system-generators/systemd-cryptsetup-generator")
  ? false
  : "this system has no systemd-cryptsetup-generator";
const numRuns = process.env["NIGHTLATCH_TEST_FULL"] ? 600 : 40;
const seed = Number(process.env["NIGHTLATCH_TEST_SEED"] ?? 20261128);
const VOLUMES = 8;

const latin1 = (text: string): string => Buffer.from(text).toString("latin1");

/** What a unit does, in the words of either side. */
type Said = Pick<GeneratedUnit, "name" | "device" | "key" | "target" | "isRequired"> & {
  readonly options: readonly string[];
};

function oursOf(entry: CrypttabEntry): Said {
  const isAuto = !isStartedByHand(entry);
  const { path, device } = placeOf(entry.key ?? "none");
  return {
    name: latin1(entry.volume),
    device: latin1(devicePathOf(entry.device)),
    key: latin1(device === null ? path : `KEYDEV${path}`),
    target: isAuto ? (isNetworkVolume(entry) ? "remote-cryptsetup.target" : "cryptsetup.target") : null,
    isRequired: isAuto && !mayFail(entry),
    options: entry.options
      .map(({ name, value }) => (value === null ? name : `${name}=${value}`))
      .filter(isKept)
      .sort(),
  };
}

function theirsOf({ name, device, key, options, target, isRequired }: GeneratedUnit): Said {
  const words = splitOptions(options).filter(isKept).sort();
  // A folder of the volume's name, where the key's device is mounted.
  const plain = ["", "-", "none"].includes(key) ? "none" : key.replace(/^\/run\/keydev-[^/]*/, "KEYDEV");
  return { name, device, key: plain, target, isRequired, options: words };
}

/** The generator takes these out, and headers to the end. */
const isKept = (option: string): boolean =>
  option !== "" && !/^(?:x-systemd\.device-timeout|header)(?:=|$)/.test(option);

/** Byte by byte, so that it shares nothing with the reader that it judges. */
function splitOptions(text: string): string[] {
  const words = [""];
  for (let at = 0; at < text.length; at++) {
    const escapes = text[at] === "\\" && (text[at + 1] === "," || text[at + 1] === "\\");
    if (escapes) at++;
    if (text[at] === "," && !escapes) words.push("");
    else words.push(`${words.pop()}${text[at]}`);
  }
  return words;
}

type Read = typeof parseCrypttab;

/**
 * Where we read another volume than systemd does, or another option of it; null where we do not.
 */
function differs(text: string, words: string, generated: Generated, read: Read = parseCrypttab): string | null {
  const { crypttab, unheard } = hearCrypttab(read(Buffer.from(text, "latin1")), words);
  const entries = crypttab.entries.filter(({ volume }) => !unheard.has(volume));
  const { stopsAt } = crypttab;
  const before = entries.filter(({ line }) => stopsAt === null || line < stopsAt);
  // The generator of newer versions goes on behind a line that it fails at.
  const heard = generated.units.length > before.length ? entries : before;
  const byName = (a: Said, b: Said) => (a.name < b.name ? -1 : 1);
  const ours = heard.map(oursOf).sort(byName);
  const theirs = generated.units.map(theirsOf).sort(byName);
  return isDeepStrictEqual(ours, theirs) ? null : `ours ${JSON.stringify(ours)}\ntheirs ${JSON.stringify(theirs)}`;
}

const files = fc
  .tuple(
    ...Array.from({ length: VOLUMES }, (_, index) =>
      fc.tuple(crypttabLine(index, VOLUMES - 1), fc.array(idleLine, { maxLength: 1 })),
    ),
  )
  .map((pairs) => pairs.flatMap(([line, idle]) => [...idle, line]));

/** Half of the command lines say something of volumes. */
const someCmdline = fc.oneof(fc.constant("quiet"), cmdline(VOLUMES - 1));

test("we read in a crypttab what systemd's generator reads in it", { skip }, (t) => {
  let volumes = 0;
  let stops = 0;
  const stop = fc.option(fc.tuple(stopperLine, fc.nat(VOLUMES)), { freq: 4 });
  fc.assert(
    fc.property(files, stop, someCmdline, (lines, stopper, words) => {
      const text = (stopper === null ? lines : lines.toSpliced(stopper[1], 0, stopper[0])).join("\n");
      const generated = generateUnits(text, words);
      assert.equal(differs(text, words, generated), null, `${words}\n${text}`);
      volumes += generated.units.length;
      if (!generated.isWhole) stops++;
    }),
    { numRuns, seed, endOnFailure: !process.env["NIGHTLATCH_TEST_SHRINK"] },
  );
  t.diagnostic(
    `seed ${seed}: ${numRuns} files, ${volumes} volumes, ${stops} with a line that stops it; no disagreement`,
  );
});

/** Readers with a fault, and a file that shows it. */
const FAULTS: readonly (readonly [
  what: string,
  text: string,
  words: string,
  read: (bytes: Uint8Array) => Uint8Array,
])[] = [
  [
    "a remark in another encoding spoils a line",
    "a /dev/a none luks # schl\xfcssel\nb /dev/b none luks",
    "quiet",
    (bytes) =>
      Buffer.from(
        Buffer.from(bytes)
          .toString("latin1")
          .replace(/^.*[\x80-\xff].*$/gm, ""),
        "latin1",
      ),
  ],
  [
    "the first of two words that say the opposite counts",
    "a /dev/a none noauto,auto,fail,nofail",
    "quiet",
    (bytes) => Buffer.from(Buffer.from(bytes).toString("latin1").replace("noauto,auto,fail,nofail", "noauto,fail")),
  ],
  [
    "the lines behind one that stops it are read",
    "a /dev/a none luks\na /dev/b none luks\nb /dev/c none luks",
    "quiet",
    (bytes) => Buffer.from(Buffer.from(bytes).toString("latin1").replace("a /dev/b none luks\n", "")),
  ],
];

for (const [what, text, words, spoil] of FAULTS) {
  test(`the comparison sees it where ${what}`, { skip }, () => {
    const generated = generateUnits(text, words);
    assert.equal(differs(text, words, generated), null);
    assert.notEqual(
      differs(text, words, generated, (bytes) => parseCrypttab(spoil(bytes))),
      null,
    );
  });
}
