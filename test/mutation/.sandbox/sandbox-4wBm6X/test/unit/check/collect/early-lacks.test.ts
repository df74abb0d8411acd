// @ts-nocheck
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import { type Binding, describeToken } from "../../../../src/bindings/binding.ts";
import { mendingOf } from "../../../../src/boot/initramfs/mending.ts";
import type { NextBoot } from "../../../../src/boot/next-boot.ts";
import { lacksOf } from "../../../../src/check/collect/early-lacks.ts";
import { ecdhCardHeader, rsaCardHeader } from "../../../../src/formats/clevis/pkcs11.ts";
import { sssHeader } from "../../../../src/formats/clevis/sss.ts";
import {
  encryptJwe,
  type FlattenedJwe,
  formatFlattenedJwe,
  parseCompactJwe,
} from "../../../../src/formats/jose/jwe.ts";
import { parseEcPublicJwk } from "../../../../src/formats/jose/jwk.ts";
import type { JsonObject } from "../../../../src/formats/json/json.ts";
import type { HeldToken } from "../../../../src/luks/header/bindings.ts";
import { clevisVectors } from "../../../vectors/tangs.ts";
import { tpm2Vectors } from "../../../vectors/tpm2-vectors.ts";

const URI = "pkcs11:token=ops;object=disk";
const WRAPPED = Buffer.from("wrapped").toString("base64url");

/** An initramfs that has whatever is asked for. */
const facts = { generator: "initramfs-tools", has: () => true, ownCmdline: "" } as unknown as NextBoot["facts"];
const early = {
  mending: mendingOf("initramfs-tools", new Map([["ID", "debian"]])),
  drivers: { network: null, tpm: null },
};
const power = { run: () => assert.fail("nothing is run"), readFile: () => assert.fail("nothing is read") };

const sealed = (header: JsonObject) => encryptJwe(header, Buffer.alloc(32), Buffer.alloc(12), Buffer.from("secret"));

function bindingOf(header: JsonObject): Binding {
  const json = { type: "clevis", keyslots: ["1"], jwe: formatFlattenedJwe(sealed(header)) };
  return describeToken({ id: 0, type: "clevis", keyslots: [1], json, digest: "" } as unknown as HeldToken);
}

async function lacks(header: JsonObject): Promise<readonly string[]> {
  const request = { device: "/dev/vda3", luksVersion: 2, cmdline: "quiet" } as const;
  const found = await lacksOf(power, { facts }, early, bindingOf(header), request);
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

const PRIME = Buffer.from([0xff, ...Buffer.alloc(31, 1)]);
const TPM2 = parseCompactJwe(tpm2Vectors.opened[0]?.jwe ?? "");
const TANG = parseCompactJwe(clevisVectors.cases.find(({ name }) => name === "tang, P-256")?.jwe ?? "");
/** No stock clevis opens it. */
const CARD = sealed(rsaCardHeader(URI, "RSA-OAEP-SHA-1", WRAPPED));
const shares = (threshold: number, children: readonly FlattenedJwe[]) =>
  sssHeader({ threshold, prime: PRIME, children });

test("what its shares need is what a binding needs, as far as stock clevis opens them", () => {
  const early = (header: JsonObject) => bindingOf(header).early;
  const both = { pins: ["sss", "tang", "tpm2"], network: true };
  assert.deepEqual(early(shares(2, [TANG, TPM2])), both);
  assert.deepEqual(early(shares(2, [TANG, sealed(shares(1, [TPM2]))])), both);
  assert.deepEqual(early(shares(2, [TANG, TPM2, CARD])), both);
  assert.deepEqual(early(shares(1, [TPM2])), { pins: ["sss", "tpm2"], network: false });
  const { never } = early(shares(2, [TPM2, CARD]));
  assert.match(String(never), /clevis, which opens the volume there/);
  assert.equal(early(shares(2, [TANG, sealed(shares(1, [CARD]))])).never, never);
});

test("a register that a threshold can do without is told as such", () => {
  const needed = (header: JsonObject) => bindingOf(header).measured.map(({ isNeeded }) => isNeeded);
  assert.deepEqual(needed(shares(2, [TANG, TPM2])), [true]);
  assert.deepEqual(needed(shares(1, [TANG, TPM2])), [false]);
  assert.deepEqual(needed(shares(1, [TANG, sealed(shares(2, [TANG, TPM2]))])), [false]);
  assert.deepEqual(needed(shares(2, [TANG, sealed(shares(2, [TANG, TPM2]))])), [true]);
});

test("an initramfs that holds enough for as many shares as open it lacks nothing, unless all are wanted", async () => {
  const names = new Set<string>();
  const tangOnly = { ...facts, names, has: (name: string) => !name.includes("tpm2") } as NextBoot["facts"];
  const driver = { code: "driver" as const, what: "no driver of the TPM", remedy: "", steps: null };
  const around = { ...early, drivers: { network: null, tpm: driver } };
  const asked = async (threshold: number, everyShare: boolean) => {
    const request = { device: "/dev/vda3", luksVersion: 2, cmdline: "quiet", everyShare } as const;
    const power = {
      run: async () => ({ status: 2, stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) }),
      readFile: async () => Buffer.alloc(0),
    } as unknown as Parameters<typeof lacksOf>[0];
    const header = shares(threshold, [TANG, TPM2]);
    return (await lacksOf(power, { facts: tangOnly }, around, bindingOf(header), request))
      .filter(({ code }) => code !== "name")
      .map(({ what }) => what);
  };
  const both = await asked(2, false);
  assert.equal(both.length, 2);
  assert.match(both[0] ?? "", /holds no usr\/bin\/clevis-decrypt-tpm2, .*, libtss2-tcti-device\.so\.0$/);
  assert.equal(both[1], driver.what);
  assert.deepEqual(await asked(1, false), []);
  assert.deepEqual(await asked(1, true), both);
});
