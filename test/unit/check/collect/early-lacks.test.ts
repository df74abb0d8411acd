import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import { describeToken } from "../../../../src/bindings/binding.ts";
import { mendingOf } from "../../../../src/boot/initramfs/mending.ts";
import type { NextBoot } from "../../../../src/boot/next-boot.ts";
import { lacksOf } from "../../../../src/check/collect/early-lacks.ts";
import { ecdhCardHeader, rsaCardHeader } from "../../../../src/formats/clevis/pkcs11.ts";
import { encryptJwe, formatFlattenedJwe } from "../../../../src/formats/jose/jwe.ts";
import { parseEcPublicJwk } from "../../../../src/formats/jose/jwk.ts";
import type { JsonObject } from "../../../../src/formats/json/json.ts";
import type { HeldToken } from "../../../../src/luks/header/bindings.ts";

const URI = "pkcs11:token=ops;object=disk";
const WRAPPED = Buffer.from("wrapped").toString("base64url");

/** An initramfs that has whatever is asked for. */
const facts = { generator: "initramfs-tools", has: () => true, ownCmdline: "" } as unknown as NextBoot["facts"];
const early = {
  mending: mendingOf("initramfs-tools", new Map([["ID", "debian"]])),
  drivers: { network: null, tpm: null },
};
const power = { run: () => assert.fail("nothing is run"), readFile: () => assert.fail("nothing is read") };

async function lacks(header: JsonObject): Promise<readonly string[]> {
  const jwe = formatFlattenedJwe(encryptJwe(header, Buffer.alloc(32), Buffer.alloc(12), Buffer.from("secret")));
  const json = { type: "clevis", keyslots: ["1"], jwe };
  const token = { id: 0, type: "clevis", keyslots: [1], json, digest: "" } as unknown as HeldToken;
  const request = { device: "/dev/vda3", luksVersion: 2, cmdline: "quiet" } as const;
  const found = await lacksOf(power, { facts }, early, describeToken(token), request);
  return found.map(({ what, remedy }) => `${what} → ${remedy}`);
}

test("what no stock clevis opens is told as that, and nothing is to be installed for it", async () => {
  const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const ephemeral = parseEcPublicJwk(publicKey.export({ format: "jwk" }) as JsonObject);
  const ways = [ecdhCardHeader(URI, ephemeral), rsaCardHeader(URI, "RSA-OAEP-SHA-1", WRAPPED)];
  for (const header of ways) {
    const [lack, ...more] = await lacks(header);
    assert.match(
      String(lack),
      /^clevis, which opens the volume there, .* → bind it to a server or the machine's TPM too/,
    );
    assert.deepEqual(more, []);
  }
  assert.deepEqual(await lacks(rsaCardHeader(URI, "RSA-PKCS", WRAPPED)), []);
  assert.deepEqual(await lacks(rsaCardHeader(URI, "RSA-OAEP-SHA-256", WRAPPED)), []);
});
