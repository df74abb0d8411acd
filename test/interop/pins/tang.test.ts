import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { parseClevisToken } from "../../../src/formats/clevis/clevis.ts";
import { formatCompactJwe, parseCompactJwe } from "../../../src/formats/jose/jwe.ts";
import { thumbprintOf } from "../../../src/formats/jose/jwk.ts";
import { parseJson } from "../../../src/formats/json/json.ts";
import { recoverSecret } from "../../../src/pins/recover.ts";
import { fetchAdvertisement, sealToAdvertisement } from "../../../src/pins/tang/tang.ts";
import { nodeSystem } from "../../../src/system/node.ts";
import { clevisToken } from "../../support/clevis-token.ts";
import { noTangd, startTangd } from "../../support/tangd.ts";

const noClevis: string | false = spawnSync("clevis", []).error === undefined ? false : "clevis is not installed";
const skip = noTangd || noClevis;
const noCryptsetup = spawnSync("cryptsetup", ["--version"]).status === 0 ? false : "cryptsetup is not installed";
const limits = { timeoutMs: 10_000 };

function run(program: string, args: readonly string[], input: Uint8Array | string = ""): Buffer {
  const { status, stdout, stderr } = spawnSync(program, args, { input });
  assert.equal(status, 0, `${program} ${args[0]} ${args[1]}: ${stderr}`);
  return stdout;
}

const clevis = (args: readonly string[], input: Uint8Array | string): Buffer => run("clevis", args, input);

for (const exchangeCurve of ["P-256", "P-384", "P-521"] as const) {
  test(`${exchangeCurve}: clevis opens what we sealed, we open what clevis sealed`, { skip }, async () => {
    await using tangd = await startTangd({ exchangeCurve });
    const secret = randomBytes(40);
    const { url } = tangd;
    const [signer] = (await fetchAdvertisement(nodeSystem, url, limits)).signingKeys;
    const thumbprint = thumbprintOf(signer);
    const advertisement = await fetchAdvertisement(nodeSystem, url, { ...limits, trust: { thumbprint } });

    const ours = sealToAdvertisement(nodeSystem, url, advertisement, secret);
    assert.deepEqual(clevis(["decrypt"], formatCompactJwe(ours)), secret);
    assert.deepEqual((await recoverSecret(nodeSystem, ours, limits)).reveal(), secret);

    const theirs = clevis(["encrypt", "tang", JSON.stringify({ url, thp: thumbprint })], secret).toString();
    assert.deepEqual((await recoverSecret(nodeSystem, parseCompactJwe(theirs), limits)).reveal(), secret);
  });
}

test("after a rotation the hidden key still recovers, and vouches for the new ones where it is asked to", {
  skip,
}, async () => {
  await using tangd = await startTangd();
  const { url } = tangd;
  const secret = randomBytes(40);
  const before = await fetchAdvertisement(nodeSystem, url, limits);
  const jwe = sealToAdvertisement(nodeSystem, url, before, secret);
  tangd.rotate();
  assert.deepEqual((await recoverSecret(nodeSystem, jwe, limits)).reveal(), secret);
  assert.deepEqual(clevis(["decrypt"], formatCompactJwe(jwe)), secret);

  const trust = { keys: before.signingKeys };
  await assert.rejects(fetchAdvertisement(nodeSystem, url, { ...limits, trust }), { code: "tang/untrusted" });
  const kid = thumbprintOf(before.signingKeys[0]);
  const after = await fetchAdvertisement(nodeSystem, url, { ...limits, kid, trust });
  assert.notDeepEqual(after.exchangeKeys, before.exchangeKeys);
  await assert.rejects(fetchAdvertisement(nodeSystem, url, { ...limits, trust: { thumbprint: kid } }), {
    code: "tang/untrusted",
  });

  rmSync(tangd.keysFolder, { recursive: true });
  mkdirSync(tangd.keysFolder);
  // A tangd with an empty folder makes new keys, and no longer knows ours.
  await fetchAdvertisement(nodeSystem, url, limits);
  await assert.rejects(recoverSecret(nodeSystem, jwe, limits), { code: "pin/unknown-key" });
});

test("a volume that clevis luks bind bound opens by its token", { skip: skip || noCryptsetup }, async () => {
  await using tangd = await startTangd();
  const folder = mkdtempSync(join(tmpdir(), "nightlatch-tang-"));
  try {
    const image = join(folder, "image");
    writeFileSync(image, "");
    truncateSync(image, 32 << 20);
    const format = ["luksFormat", "-q", "--type", "luks2", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"];
    run("cryptsetup", [...format, image, "-"], "old");
    clevis(["luks", "bind", "-y", "-d", image, "-k", "-", "tang", JSON.stringify({ url: tangd.url })], "old");
    const exported = run("cryptsetup", ["token", "export", "--token-id", "0", image]);
    const token = parseClevisToken(parseJson(exported, "the token", { lengthBytes: 1 << 16 })) ?? assert.fail();
    using secret = await recoverSecret(nodeSystem, token.jwe, limits);
    const slot = String(token.keyslots[0]);
    run("cryptsetup", ["open", "--test-passphrase", "--key-slot", slot, "--key-file", "-", image], secret.reveal());

    // And the other way: a token of ours, for the same passphrase, which stock clevis reads from
    // the header.
    const advertisement = await fetchAdvertisement(nodeSystem, tangd.url, limits);
    const ours = sealToAdvertisement(nodeSystem, tangd.url, advertisement, secret.reveal());
    run("cryptsetup", ["token", "remove", "--token-id", "0", image]);
    const json = JSON.stringify(clevisToken(ours, Number(slot)));
    run("cryptsetup", ["token", "import", "--token-id", "0", image], json);
    assert.deepEqual(clevis(["luks", "pass", "-d", image, "-s", slot], ""), secret.reveal());
    const listed = clevis(["luks", "list", "-d", image], "").toString();
    assert.equal(listed, `${slot}: tang '{"url":"${tangd.url}"}'\n`);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("sss: two of three servers, one of which is gone; nested", { skip }, async () => {
  await using one = await startTangd();
  await using two = await startTangd({ exchangeCurve: "P-256" });
  const secret = randomBytes(40);
  const pin = (url: string, advertisement: string) => ({ url, adv: JSON.parse(advertisement) });
  const adv = async (url: string) =>
    (
      await nodeSystem.request({ method: "GET", url: `${url}/adv`, limitBytes: 65536, timeoutMs: limits.timeoutMs })
    ).body.toString();
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
