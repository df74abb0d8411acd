// @ts-nocheck
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { describeToken } from "../../../src/bindings/binding.ts";
import { neededLatches } from "../../../src/bindings/needed-latches.ts";
import { sssHeader } from "../../../src/formats/clevis/sss.ts";
import { encryptJwe, type FlattenedJwe, formatFlattenedJwe, parseCompactJwe } from "../../../src/formats/jose/jwe.ts";
import { parseAdvertisement } from "../../../src/formats/tang/tang.ts";
import type { HeldToken } from "../../../src/luks/header/bindings.ts";
import { sealToAdvertisement } from "../../../src/pins/tang/tang.ts";
import { clevisVectors } from "../../vectors/tangs.ts";
import { tpm2Vectors } from "../../vectors/tpm2-vectors.ts";

const TPM2 = parseCompactJwe(tpm2Vectors.opened[0]?.jwe ?? "");
const LATCHES = ["one", "two"].map((host) => `http://${host}.example.org:7654/latch/${"A".repeat(22)}`);
const [server = assert.fail()] = clevisVectors.servers;
const at = (url: string): FlattenedJwe =>
  sealToAdvertisement({ random: randomBytes }, url, parseAdvertisement(server.advertisement), Buffer.from("secret"));
const [ONE, TWO, TANG] = [...LATCHES, "http://tang.example.org"].map(at) as [FlattenedJwe, FlattenedJwe, FlattenedJwe];
const PRIME = Buffer.from([0xff, ...Buffer.alloc(31, 1)]);

function shares(threshold: number, ...children: readonly FlattenedJwe[]): FlattenedJwe {
  const header = sssHeader({ threshold, prime: PRIME, children });
  return encryptJwe(header, Buffer.alloc(32), Buffer.alloc(12), Buffer.from("secret"));
}

/** The hosts of those that are needed. */
function needed(jwe: FlattenedJwe): readonly string[] {
  const json = { type: "clevis", keyslots: ["1"], jwe: formatFlattenedJwe(jwe) };
  const token = { id: 0, type: "clevis", keyslots: [1], json, digest: "" } as unknown as HeldToken;
  return neededLatches(describeToken(token)).map(({ urls: [url = ""] }) => new URL(url).hostname.split(".")[0] ?? "");
}

test("a latch is needed where no threshold is reached without it", () => {
  assert.deepEqual(needed(ONE), ["one"]);
  assert.deepEqual(needed(TANG), []);
  assert.deepEqual(needed(TPM2), []);
  assert.deepEqual(needed(shares(2, ONE, TPM2)), ["one"]);
  assert.deepEqual(needed(shares(1, ONE, TPM2)), []);
  assert.deepEqual(needed(shares(1, ONE)), ["one"]);
  assert.deepEqual(needed(shares(2, ONE, TWO, TPM2)), []);
  assert.deepEqual(needed(shares(3, ONE, TWO, TPM2)), ["one", "two"]);
});

test("so it is where it is nested, and each threshold around it wants all", () => {
  assert.deepEqual(needed(shares(2, TPM2, shares(2, TWO, TANG))), ["two"]);
  assert.deepEqual(needed(shares(2, TPM2, shares(1, TWO, TANG))), []);
  assert.deepEqual(needed(shares(1, TPM2, shares(2, TWO, TANG))), []);
});

test("a damaged binding needs none that is known", () => {
  const json = { type: "clevis", keyslots: ["1"], jwe: null };
  assert.deepEqual(neededLatches(describeToken({ id: 0, type: "clevis", keyslots: [1], json, digest: "" })), []);
});
