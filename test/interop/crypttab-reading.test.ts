/** What systemd's generator makes of random crypttab files, and what we read in them. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import {
  type CrypttabEntry,
  devicePathOf,
  isNetworkVolume,
  isStartedByHand,
  mayFail,
  parseCrypttab,
} from "../../src/formats/crypttab.ts";
import { placeOf } from "../../src/formats/crypttab-places.ts";
import { crypttabLine, idleLine, stopperLine } from "./boot-grammar.ts";
import { type Generated, type GeneratedUnit, generateUnits } from "./cryptsetup-units.ts";

const skip = existsSync("/usr/lib/systemd/system-generators/systemd-cryptsetup-generator")
  ? false
  : "this system has no systemd-cryptsetup-generator";
const numRuns = process.env["NIGHTLATCH_TEST_FULL"] ? 4000 : 60;
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

function compare(lines: readonly string[], generated: Generated, read = parseCrypttab): number {
  const text = lines.join("\n");
  const { entries, stopsAt } = read(Buffer.from(text, "latin1"));
  assert.equal(stopsAt === null || generated.isWhole === false, true, "we see a stop, and the generator does not");
  if (stopsAt === null) assert.equal(generated.isWhole, true, "the generator fails at what we take");
  // From version 256 on the generator goes on behind a line that it fails at.
  const goesOn = generated.units.length > entries.filter(({ line }) => stopsAt === null || line < stopsAt).length;
  const heard = entries.filter(({ line }) => stopsAt === null || line < stopsAt || goesOn);
  const byName = (a: Said, b: Said) => (a.name < b.name ? -1 : 1);
  assert.deepEqual(heard.map(oursOf).sort(byName), generated.units.map(theirsOf).sort(byName));
  return heard.length;
}

const files = fc
  .tuple(
    ...Array.from({ length: VOLUMES }, (_, index) =>
      fc.tuple(crypttabLine(index, VOLUMES - 1), fc.array(idleLine, { maxLength: 1 })),
    ),
  )
  .map((pairs) => pairs.flatMap(([line, idle]) => [...idle, line]));

test("we read in a crypttab what systemd's generator reads in it", { skip }, (t) => {
  let volumes = 0;
  let stops = 0;
  const stopped = fc.tuple(files, fc.option(fc.tuple(stopperLine, fc.nat(VOLUMES)), { freq: 4 }));
  fc.assert(
    fc.property(stopped, ([lines, stop]) => {
      const all = stop === null ? lines : lines.toSpliced(stop[1], 0, stop[0]);
      volumes += compare(all, generateUnits(all.join("\n")));
      if (stop !== null) stops++;
    }),
    { numRuns, seed },
  );
  t.diagnostic(
    `seed ${seed}: ${numRuns} files, ${volumes} volumes, ${stops} files with a line that stops it: no disagreement`,
  );
});
