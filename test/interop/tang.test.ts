import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { formatCompactJwe, parseCompactJwe } from "../../src/formats/jwe.ts";
import { thumbprintOf } from "../../src/formats/jwk.ts";
import { recoverSecret } from "../../src/pins/recover.ts";
import { fetchAdvertisement, sealToTang } from "../../src/pins/tang.ts";
import { nodeSystem } from "../../src/system/node.ts";
import { noTangd, startTangd } from "./tangd.ts";

const noClevis: string | false = spawnSync("clevis", []).error === undefined ? false : "clevis is not installed";
const skip = noTangd || noClevis;
const limits = { deadlineMs: 10_000 };

function clevis(args: readonly string[], input: Uint8Array | string): Buffer {
  const { status, stdout, stderr } = spawnSync("clevis", args, { input });
  assert.equal(status, 0, stderr.toString());
  return stdout;
}

for (const exchangeCurve of ["P-256", "P-384", "P-521"] as const) {
  test(`${exchangeCurve}: clevis opens what we sealed, we open what clevis sealed`, { skip }, async () => {
    await using tangd = await startTangd({ exchangeCurve });
    const secret = randomBytes(40);
    const { url } = tangd;
    const advertisement = await fetchAdvertisement(nodeSystem, url, limits);
    const [signer] = advertisement.signingKeys;
    const thumbprint = thumbprintOf(signer);

    const ours = await sealToTang(nodeSystem, { url, trust: { thumbprint } }, secret, limits);
    assert.deepEqual(clevis(["decrypt"], formatCompactJwe(ours)), secret);
    assert.deepEqual((await recoverSecret(nodeSystem, ours, limits)).reveal(), secret);

    const theirs = clevis(["encrypt", "tang", JSON.stringify({ url, thp: thumbprint })], secret).toString();
    assert.deepEqual((await recoverSecret(nodeSystem, parseCompactJwe(theirs), limits)).reveal(), secret);
  });
}

test("sss: two of three servers, one of which is gone; nested", { skip }, async () => {
  await using one = await startTangd();
  await using two = await startTangd({ exchangeCurve: "P-256" });
  const secret = randomBytes(40);
  const pin = (url: string, advertisement: string) => ({ url, adv: JSON.parse(advertisement) });
  const adv = async (url: string) =>
    (await nodeSystem.request({ method: "GET", url: `${url}/adv`, limitBytes: 65536, ...limits })).body.toString();
  const gone = await startTangd();
  const goneAdv = await adv(gone.url);
  const goneUrl = gone.url;
  await gone[Symbol.asyncDispose]();
  const nested = {
    t: 2,
    pins: {
      tang: [pin(goneUrl, goneAdv), pin(one.url, await adv(one.url))],
      sss: { t: 1, pins: { tang: [pin(two.url, await adv(two.url))] } },
    },
  };
  const theirs = clevis(["encrypt", "sss", JSON.stringify(nested)], secret).toString();
  assert.deepEqual((await recoverSecret(nodeSystem, parseCompactJwe(theirs), limits)).reveal(), secret);
});
