import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { describeToken } from "../../../../src/bindings/binding.ts";
import { clevisLacks } from "../../../../src/boot/initramfs/clevis.ts";
import { mendingOf } from "../../../../src/boot/initramfs/mending.ts";
import { isError } from "../../../../src/core/errors.ts";
import { Secret } from "../../../../src/core/secret.ts";
import { formatCompactJwe, parseCompactJwe } from "../../../../src/formats/jose/jwe.ts";
import { SHA256 } from "../../../../src/formats/tpm2/hash.ts";
import { type AskPin, wantsPerson } from "../../../../src/pins/ask-pin.ts";
import { describePin, needsPerson } from "../../../../src/pins/nested.ts";
import type { PinPower } from "../../../../src/pins/pin.ts";
import { readPin } from "../../../../src/pins/pins.ts";
import { recoverSecret } from "../../../../src/pins/recover.ts";
import { isWorthRetrying } from "../../../../src/pins/retry.ts";
import { sealToShares } from "../../../../src/pins/sss/seal.ts";
import { sealToChip } from "../../../../src/pins/tpm2/seal.ts";
import { clevisToken } from "../../../support/clevis-token.ts";
import { noTpm } from "../../../support/tpm/no-tpm.ts";
import { play } from "../../../support/tpm/transcript.ts";
import { tpm2Vectors } from "../../../vectors/tpm2-vectors.ts";

const limits = { timeoutMs: 1000 };
const named = (name: string) => tpm2Vectors.opened.find((one) => one.name === name) ?? assert.fail(name);

for (const one of tpm2Vectors.opened) {
  test(`what a chip has said, said again: ${one.name}`, async () => {
    const { power, isOver, opened } = play(one);
    const { power: attended, asked } = withPerson(power, one.pin);
    const outcome = await recoverSecret(attended, parseCompactJwe(one.jwe), limits).then(
      (secret) => secret.reveal().toString(),
      (error: unknown) => (isError(error) ? error.code : assert.fail(String(error))),
    );
    assert.equal(outcome, one.error ?? tpm2Vectors.plaintext);
    assert.ok(isOver(), "what it holds in the chip is flushed");
    assert.equal(opened(), 0);
    const isAsked = one.pin !== null && (one.error === null || one.error === "tpm2/wrong-pin");
    assert.deepEqual(asked, isAsked ? ["the machine's TPM (sha256:7,11)"] : []);
  });
}

/** Somebody who types a PIN; nobody where there is none. */
function withPerson(power: PinPower, pin: string | null): { readonly power: PinPower; readonly asked: string[] } {
  const asked: string[] = [];
  if (pin === null) return { power, asked };
  const askPin: AskPin = async ({ name }) => {
    asked.push(name);
    return Secret.copy(Buffer.from(pin));
  };
  return { power: { ...power, askPin }, asked };
}

test("a binding that wants a PIN is not tried where nobody is there, alone or as a share that is needed", async () => {
  const one = named("a PIN");
  const untouched = { ...play({ random: [], exchanges: [] }).power, openTpm: () => assert.fail("the chip is asked") };
  const alone = parseCompactJwe(one.jwe);
  const shares = async (threshold: number, other: string) => {
    const children = [alone, parseCompactJwe(other)].map((jwe) => async () => jwe);
    return await sealToShares({ random: randomBytes }, threshold, children, Buffer.from("secret"));
  };
  const free = named("ecc, none").jwe;
  for (const jwe of [alone, await shares(2, free), await shares(1, one.jwe)]) {
    await assert.rejects(recoverSecret(untouched, jwe, limits), (error) => {
      assert.ok(isError(error, "pin/needs-person") && !isWorthRetrying(error) && wantsPerson(error));
      return true;
    });
    assert.equal(needsPerson(readPin(jwe)), true);
  }
  assert.equal(needsPerson(readPin(await shares(1, free))), false);
  // Whoever has a use for one share is asked for it all the same; the other is not tried.
  const share = await recoverSecret(play(named("ecc, none")).power, await shares(1, free), limits).catch(
    (thrown) => thrown,
  );
  assert.ok(isError(share, "pin/needs-person") || isError(share, "pin/wrong-shares"), String(share));
});

test("a PIN that was wrong is not tried again by the same process", async () => {
  const one = named("a wrong PIN");
  const until = one.exchanges.findIndex(({ command }) => command.slice(12, 20) === "00000165") + 2;
  const { power } = play({ random: [], exchanges: one.exchanges.slice(0, until) });
  await assert.rejects(recoverSecret(withPerson(power, one.pin).power, parseCompactJwe(one.jwe), limits), (error) => {
    assert.ok(isError(error, "tpm2/wrong-pin"));
    assert.match(error.message, /was wrong before, and is not tried again; it counts 0 of 3 wrong attempts/);
    return true;
  });
});

test("sealing says what it has said to a real chip, byte for byte, and gives the same binding", async () => {
  const { sealed, plaintext } = tpm2Vectors;
  const { power, isOver, opened } = play(sealed);
  const to = { kind: "ecc", registers: { bank: SHA256, numbers: sealed.registers } } as const;
  const jwe = await sealToChip(power, to, Buffer.from(plaintext), limits);
  assert.equal(formatCompactJwe(jwe), sealed.jwe);
  assert.ok(isOver());
  assert.equal(opened(), 0);
});

test("an answer that somebody has changed on the way gives no key, wherever the bit is", async () => {
  const one = named("ecc, registers");
  const unseal = one.exchanges.findIndex(({ command }) => command.slice(12, 20) === "0000015e");
  const length = (one.exchanges[unseal]?.answer.length ?? 0) / 2;
  assert.ok(length > 100);
  for (let at = 0; at < length; at++) {
    const { power, opened } = play(one, (answer, number) => {
      if (number === unseal) answer[at] = (answer[at] ?? 0) ^ 1;
      return answer;
    });
    await assert.rejects(recoverSecret(power, parseCompactJwe(one.jwe), limits), (error) => {
      return isError(error) && error.code.startsWith("tpm2/");
    });
    assert.equal(opened(), 0);
  }
});

test("a register that changes between two readings of the chip is read again, and at last given up", async () => {
  const { sealed, plaintext } = tpm2Vectors;
  const reads = sealed.exchanges.filter(({ command }) => command.slice(12, 20) === "0000017e");
  assert.ok(reads.length > 1, "twelve registers take more than one reading");
  const torn = { random: [], exchanges: [...reads, ...reads, ...reads] };
  let time = 0;
  const { power, opened } = play(torn, (answer) => {
    answer.writeUInt32BE(time++, 10);
    return answer;
  });
  const to = { kind: "ecc", registers: { bank: SHA256, numbers: sealed.registers } } as const;
  await assert.rejects(sealToChip(power, to, Buffer.from(plaintext), limits), { code: "tpm2/busy" });
  assert.equal(opened(), 0);
});

test("it is described with its registers, and needs clevis and its tools in an initramfs, and no network", () => {
  const jwe = parseCompactJwe(named("ecc, registers").jwe);
  assert.equal(describePin(jwe), "tpm2 sha256:7,11");
  const binding = describeToken({ id: 0, type: "clevis", keyslots: [1], digest: "", json: clevisToken(jwe, 1) });
  assert.deepEqual(
    [binding.kind, binding.urls, binding.early, binding.measured.length],
    ["tpm2", [], { pins: ["tpm2"], network: false }, 1],
  );
  const [lack, ...more] = clevisLacks(
    "initramfs-tools",
    { has: (name) => !name.includes("tpm2"), names: new Set<string>() },
    {
      ...binding.early,
      urls: [],
      luksVersion: 2,
      cmdline: "ro ip=none",
      mending: mendingOf("initramfs-tools", new Map([["ID", "debian"]])),
      names: new Map(),
      rebind: () => "",
    },
  );
  assert.deepEqual(more, []);
  const tools = ["createprimary", "flushcontext", "load", "unseal"].map((tool) => `usr/bin/tpm2_${tool}`);
  assert.equal(
    lack?.what,
    `the initramfs holds no usr/bin/clevis-decrypt-tpm2, ${tools.join(", ")}, libtss2-tcti-device.so.0`,
  );
  assert.match(lack.remedy, /^apt-get install clevis-tpm2\napt-get install clevis-initramfs\n/);
});

test("a chip that is not there may come; one that says no is not asked again", async () => {
  const power = { ...play({ random: [], exchanges: [] }).power, openTpm: noTpm };
  const absent = await recoverSecret(power, parseCompactJwe(named("ecc, none").jwe), limits).catch((error) => error);
  assert.ok(isError(absent, "tpm2/no-chip") && isWorthRetrying(absent));
  for (const name of ["another state", "cleared"]) {
    const one = named(name);
    const error = await recoverSecret(play(one).power, parseCompactJwe(one.jwe), limits).catch((thrown) => thrown);
    assert.equal(isWorthRetrying(error), false);
  }
});
