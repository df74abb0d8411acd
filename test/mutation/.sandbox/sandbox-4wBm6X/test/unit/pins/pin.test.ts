/** What a pin is: a folder, here `example/`, and a line in a list. */
// @ts-nocheck

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { describeToken } from "../../../src/bindings/binding.ts";
import { clevisLacks } from "../../../src/boot/initramfs/clevis.ts";
import { mendingOf } from "../../../src/boot/initramfs/mending.ts";
import { NightlatchError } from "../../../src/core/errors.ts";
import { toBytes } from "../../../src/formats/jose/curve.ts";
import { encryptJwe, type FlattenedJwe, formatCompactJwe, formatFlattenedJwe } from "../../../src/formats/jose/jwe.ts";
import type { Json } from "../../../src/formats/json/json.ts";
import { describePin } from "../../../src/pins/nested.ts";
import type { PinPower } from "../../../src/pins/pin.ts";
import { PINS } from "../../../src/pins/pins.ts";
import { recoverSecret } from "../../../src/pins/recover.ts";
import type { HttpRequest } from "../../../src/system/port.ts";
import { NO_DEVICES } from "../../support/no-devices.ts";
import { examplePin } from "./example/pin.ts";

const WITH_EXAMPLE = [...PINS, examplePin];
const URL = "http://keys.example.org/key";
const KEY = randomBytes(32);

function seal(clevis: Json, key: Buffer, secret: Uint8Array): FlattenedJwe {
  return encryptJwe({ alg: "dir", enc: "A256GCM", clevis }, key, randomBytes(12), secret);
}

/** Shares of which any one opens it: with a threshold of one the polynomial is the key alone. */
function sealToShares(children: number, secret: Uint8Array): FlattenedJwe {
  const p = toBytes(2n ** 256n - 189n, 32); // a prime
  const key = Buffer.concat([Buffer.alloc(1), randomBytes(31)]);
  const jwe = Array.from({ length: children }, (_, at) => {
    const share = Buffer.concat([toBytes(BigInt(at + 1), 32), key]);
    return formatCompactJwe(seal({ pin: "example", example: { url: URL } }, KEY, share));
  });
  return seal({ pin: "sss", sss: { t: 1, p: p.toString("base64url"), jwe } }, key, secret);
}

const single = seal({ pin: "example", example: { url: URL } }, KEY, Buffer.from("secret"));
const shared = sealToShares(2, Buffer.from("shared"));
const token = (jwe: FlattenedJwe) => ({
  id: 0,
  type: "clevis",
  keyslots: [1],
  digest: "",
  json: { type: "clevis", keyslots: ["1"], jwe: formatFlattenedJwe(jwe) },
});

function serverOf(key: Buffer): { readonly system: PinPower; readonly asked: HttpRequest[] } {
  const asked: HttpRequest[] = [];
  const request = async (sent: HttpRequest) => {
    asked.push(sent);
    return { status: 200, contentType: "", body: Buffer.from(key.toString("hex")) };
  };
  return { system: { ...NO_DEVICES, request, random: randomBytes }, asked };
}

test("a pin on the list opens its binding, by itself and as a share", async () => {
  for (const [jwe, secret] of [
    [single, "secret"],
    [shared, "shared"],
  ] as const) {
    const { system, asked } = serverOf(KEY);
    using opened = await recoverSecret(system, jwe, { timeoutMs: 1000 }, WITH_EXAMPLE);
    assert.equal(opened.reveal().toString(), secret);
    assert.equal(asked[0]?.url, URL);
  }
});

test("its keys are wiped, whether they open the binding or not", async () => {
  for (const key of [KEY, randomBytes(32)]) {
    const { system } = serverOf(key);
    const given: Buffer[] = [];
    const watched = {
      ...examplePin,
      read: (clevis: Parameters<typeof examplePin.read>[0]) => {
        const pin = examplePin.read(clevis);
        const recover: typeof pin.recover = async (attempt) => {
          const keys = (await pin.recover?.(attempt)) ?? [];
          given.push(...keys.map((one) => one.reveal()));
          return keys;
        };
        return { ...pin, recover };
      },
    };
    const outcome = await recoverSecret(system, single, { timeoutMs: 1000 }, [watched]).catch((error) => error);
    assert.equal(
      outcome instanceof NightlatchError ? outcome.code : "opened",
      key === KEY ? "opened" : "pin/wrong-key",
    );
    assert.deepEqual(given, [Buffer.alloc(32)]);
  }
});

test("it is described, in one word and in a line", () => {
  const binding = describeToken(token(single), WITH_EXAMPLE);
  assert.equal(binding.kind, "example");
  assert.deepEqual(binding.urls, [URL]);
  assert.deepEqual(describeToken(token(shared), WITH_EXAMPLE).urls, [URL, URL]);
  assert.equal(describePin(single, WITH_EXAMPLE), "example at keys.example.org");
  assert.equal(describePin(shared, WITH_EXAMPLE), "1 of [example at keys.example.org, example at keys.example.org]");
});

test("what it needs in an initramfs is told", () => {
  const { early, urls } = describeToken(token(single), WITH_EXAMPLE);
  const lacks = clevisLacks(
    "initramfs-tools",
    { has: (name) => !name.includes("clevis-decrypt-"), names: new Set<string>() },
    {
      ...early,
      urls,
      luksVersion: 2,
      cmdline: "ro ip=none",
      mending: mendingOf("initramfs-tools", new Map()),
      names: new Map(),
      rebind: () => "",
    },
  );
  assert.match(lacks[0]?.what ?? "", /holds no usr\/bin\/clevis-decrypt-example$/);
  assert.deepEqual(
    lacks.map(({ code }) => code),
    ["clevis", "network"],
  );
});

test("the limits of a binding hold for it: how many servers, how deep, and that it is given up", async () => {
  const { system, asked } = serverOf(randomBytes(32));
  const sixtyFour = formatCompactJwe(sealToShares(64, Buffer.alloc(64)));
  const both = seal(
    { pin: "sss", sss: { t: 1, p: Buffer.alloc(32, 0xff).toString("base64url"), jwe: [sixtyFour, sixtyFour] } },
    KEY,
    Buffer.alloc(1),
  );
  await assert.rejects(recoverSecret(system, both, { timeoutMs: 1000 }, WITH_EXAMPLE), {
    code: "clevis/malformed",
    message: "the binding asks for more than 64 servers",
  });
  assert.equal(asked.length, 64);
  const signal = AbortSignal.abort();
  await assert.rejects(recoverSecret(system, single, { timeoutMs: 1000, signal }, WITH_EXAMPLE), {
    code: "net/timeout",
  });
  assert.equal(asked.length, 64);
});

test("one that is not on the list is told by its name and not opened", async () => {
  const binding = describeToken(token(single));
  assert.deepEqual([binding.kind, binding.urls, binding.early], ["example", [], { pins: ["example"], network: false }]);
  assert.equal(describePin(single), "example");
  await assert.rejects(recoverSecret(serverOf(KEY).system, single, { timeoutMs: 1000 }), { code: "pin/unsupported" });
});

test("no two pins of the list have one name", () => {
  assert.equal(new Set(PINS.map(({ name }) => name)).size, PINS.length);
});
