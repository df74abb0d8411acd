/** What is sealed to shares, nested too, and what is told of shares that do not answer. */
// @ts-nocheck

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { NightlatchError } from "../../../src/core/errors.ts";
import { parseAdvertisement } from "../../../src/formats/tang/tang.ts";
import type { Seal } from "../../../src/pins/pin.ts";
import { recoverEveryShare, recoverSecret, type ShareOutcome } from "../../../src/pins/recover.ts";
import { sealToShares } from "../../../src/pins/sss/seal.ts";
import { sealToAdvertisement } from "../../../src/pins/tang/tang.ts";
import type { HttpRequest } from "../../../src/system/port.ts";
import { clevisVectors, playTangs } from "../../vectors/tangs.ts";

const limits = { timeoutMs: 1000 };
const { power } = playTangs();
const seals = clevisVectors.servers.map(({ url, advertisement }): Seal => {
  return async (secret) => sealToAdvertisement(power, url, parseAdvertisement(advertisement), secret);
});
const [first, second, third] = seals as [Seal, Seal, Seal];
const urls = clevisVectors.servers.map(({ url }) => url);

/** The servers, some of which are away. */
function without(...away: readonly (string | undefined)[]) {
  const { power: there } = playTangs();
  const asked: string[] = [];
  const request = async (sent: HttpRequest) => {
    asked.push(sent.url);
    if (away.some((url) => url !== undefined && sent.url.startsWith(`${url}/`)))
      throw new NightlatchError("net/unreachable", "nobody there");
    return there.request(sent);
  };
  return { system: { ...there, request }, asked };
}

test("as many as the threshold open it, whichever they are, and fewer do not", async () => {
  const secret = randomBytes(40);
  const jwe = await sealToShares(power, 2, [first, second, third], secret);
  for (const url of urls.slice(0, 3)) {
    using opened = await recoverSecret(without(url).system, jwe, limits);
    assert.deepEqual(opened.reveal(), secret);
  }
  await assert.rejects(recoverSecret(without(urls[0], urls[1]).system, jwe, limits), { code: "net/unreachable" });
});

test("thresholds within a threshold", async () => {
  const nested: Seal = (secret) => sealToShares(power, 1, [second, third], secret);
  const jwe = await sealToShares(power, 2, [first, nested], Buffer.from("nested"));
  using opened = await recoverSecret(without(urls[1]).system, jwe, limits);
  assert.equal(opened.reveal().toString(), "nested");
  await assert.rejects(recoverSecret(without(urls[0]).system, jwe, limits), { code: "net/unreachable" });
});

test("every share is asked to its end and told, nested ones too, whether the whole opens or not", async () => {
  const nested: Seal = (secret) => sealToShares(power, 1, [second, third], secret);
  const jwe = await sealToShares(power, 1, [first, nested], Buffer.from("told"));
  const told = async (...away: readonly (string | undefined)[]) => {
    const outcomes: ShareOutcome[] = [];
    const { system, asked } = without(...away);
    const opened = await recoverEveryShare(system, jwe, limits, outcomes).catch((error: NightlatchError) => error.code);
    assert.equal(asked.length, 3);
    const codes = (list: readonly ShareOutcome[]): unknown[] =>
      list.map(({ error, shares }) =>
        shares.length === 0 ? (error?.code ?? null) : [error?.code ?? null, ...codes(shares)],
      );
    return { opened: typeof opened === "string" ? opened : opened.reveal().toString(), shares: codes(outcomes) };
  };
  assert.deepEqual(await told(), { opened: "told", shares: [null, [null, null, null]] });
  assert.deepEqual(await told(urls[0], urls[2]), {
    opened: "told",
    shares: ["net/unreachable", [null, null, "net/unreachable"]],
  });
  assert.deepEqual(await told(...urls), {
    opened: "net/unreachable",
    shares: ["net/unreachable", ["net/unreachable", "net/unreachable", "net/unreachable"]],
  });
});

test("shares are wiped where one cannot be sealed", async () => {
  const seen: Uint8Array[] = [];
  const keep: Seal = async (share) => {
    seen.push(share);
    return first(share);
  };
  const fails: Seal = async (share) => {
    seen.push(share);
    throw new NightlatchError("net/unreachable", "nobody there");
  };
  await assert.rejects(sealToShares(power, 1, [keep, fails], Buffer.from("x")), { code: "net/unreachable" });
  assert.equal(seen.length, 2);
  for (const share of seen) assert.ok(share.every((byte) => byte === 0));
});
