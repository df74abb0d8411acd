// @ts-nocheck
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { isError, NightlatchError } from "../../../../src/core/errors.ts";
import { parseClevisPin } from "../../../../src/formats/clevis/clevis.ts";
import { parseTpm2Pin } from "../../../../src/formats/clevis/tpm2.ts";
import { formatSealedJwk, parseSealedJwk } from "../../../../src/formats/clevis/tpm2-key.ts";
import { encryptJwe, parseCompactJwe } from "../../../../src/formats/jose/jwe.ts";
import type { Json, JsonObject } from "../../../../src/formats/json/json.ts";
import { readAttempts } from "../../../../src/formats/tpm2/attempts.ts";
import { parseAnswer, readAnswer } from "../../../../src/formats/tpm2/command.ts";
import {
  createPrimary,
  createSealed,
  flushContext,
  loadSealed,
  policyAuthValue,
  readRegisters,
  startSession,
  unsealObject,
} from "../../../../src/formats/tpm2/commands.ts";
import { hashNamed, SHA256 } from "../../../../src/formats/tpm2/hash.ts";
import { kdfa, kdfe } from "../../../../src/formats/tpm2/kdf.ts";
import { parseTpmPlace } from "../../../../src/formats/tpm2/place.ts";
import { parseSealedPublic } from "../../../../src/formats/tpm2/public-area.ts";
import {
  changedBy,
  formatSelection,
  holdsOf,
  parseRegisterList,
  registerPolicy,
} from "../../../../src/formats/tpm2/registers.ts";
import { chipRefusal, wantsAgain } from "../../../../src/formats/tpm2/response-code.ts";
import { authValueFrom } from "../../../../src/formats/tpm2/session.ts";
import { tpm2Vectors } from "../../../vectors/tpm2-vectors.ts";

const bytes = (text: string) => Buffer.from(text, "hex");
const refuse = (message: string): never => {
  throw new NightlatchError("tpm2/malformed", message);
};

test("the derivations are those of the specification, over SHA-256 of node:crypto", () => {
  const [u, v] = [Buffer.from("u"), Buffer.from("v")];
  const one = createHash("sha256")
    .update(Buffer.of(0, 0, 0, 1))
    .update("z")
    .update("SECRET\0")
    .update("uv")
    .digest();
  const two = createHash("sha256")
    .update(Buffer.of(0, 0, 0, 2))
    .update("z")
    .update("SECRET\0")
    .update("uv")
    .digest();
  const context = { label: "SECRET", u, v, lengthBytes: 40 };
  assert.deepEqual(kdfe(SHA256, Buffer.from("z"), context), Buffer.concat([one, two]).subarray(0, 40));
  // Part 1, 11.4.10.2: longer keys begin otherwise, for the length is hashed too.
  const short = kdfa(SHA256, Buffer.from("key"), { ...context, lengthBytes: 16 });
  assert.notDeepEqual(kdfa(SHA256, Buffer.from("key"), context).subarray(0, 16), short);
});

test("lists of registers are read as clevis writes them, and nothing else is", () => {
  assert.deepEqual(parseRegisterList("11,7,0,7"), [0, 7, 11]);
  assert.equal(parseRegisterList("all")?.length, 24);
  for (const text of ["", ",", "7,", "24", "-1", "7 ,8", "0x7", "007", "7;8", "sha256:7", "7\n", "7,".repeat(64)]) {
    assert.equal(parseRegisterList(text), null, text);
  }
  fc.assert(
    fc.property(fc.uniqueArray(fc.nat(23), { minLength: 1 }), (numbers) => {
      assert.deepEqual(
        parseRegisterList(numbers.join(",")),
        numbers.toSorted((a, b) => a - b),
      );
    }),
  );
});

test("a selection has one bit for each register, in three bytes", () => {
  assert.equal(formatSelection({ bank: SHA256, numbers: [0, 7, 11, 23] }).toString("hex"), "00000001000b03810880");
});

test("what registers hold, and what changes them, is told", () => {
  assert.deepEqual(changedBy([0, 4, 7, 9, 11, 20], "kernel"), [4, 9, 11]);
  assert.deepEqual(changedBy([0, 4, 7, 9, 11, 20], "running system"), [11, 20]);
  for (let number = 0; number < 24; number++) assert.notEqual(holdsOf(number), "");
});

test("the policy of registers is the one that clevis had the chip compute", () => {
  for (const name of ["ecc, registers", "sha384"]) {
    const jwe = tpm2Vectors.opened.find((one) => one.name === name)?.jwe ?? "";
    const pin = parseTpm2Pin(parseClevisPin(parseCompactJwe(jwe)));
    assert.ok(pin.registers !== null);
    const zeros = pin.registers.numbers.map(() => Buffer.alloc(pin.registers?.bank.lengthBytes ?? 0));
    assert.deepEqual(registerPolicy(pin.public.hash, pin.registers, zeros), pin.public.policy);
    const other = zeros.map((value, at) => (at === 0 ? Buffer.alloc(value.length, 1) : value));
    assert.notDeepEqual(registerPolicy(pin.public.hash, pin.registers, other), pin.public.policy);
  }
});

test("where the TPM is, is read as tpm2-tools read it", () => {
  for (const [text, place] of [
    [undefined, { kind: "device", path: "/dev/tpmrm0" }],
    ["", { kind: "device", path: "/dev/tpmrm0" }],
    ["device", { kind: "device", path: "/dev/tpmrm0" }],
    ["device:/dev/tpm1", { kind: "device", path: "/dev/tpm1" }],
    ["swtpm:path=/run/a:b", { kind: "unix", path: "/run/a:b" }],
    ["swtpm:host=h,port=23", { kind: "tcp", host: "h", port: 23 }],
    ["swtpm:port=23", { kind: "tcp", host: "localhost", port: 23 }],
    ["swtpm", { kind: "tcp", host: "localhost", port: 2321 }],
    ["swtpm:host=h,port=70000", null],
    ["swtpm:host=h,port=x", null],
    ["swtpm:path=", null],
    ["swtpm:path=/x,host=h", null],
    ["swtpm:speed=9", null],
    ["mssim:host=h", null],
    ["tabrmd", null],
    ["/dev/tpm0", null],
    [":x", null],
  ] as const) {
    assert.deepEqual(parseTpmPlace(text), place, String(text));
  }
});

test("what the chip refuses with has a code of ours, whatever it is about", () => {
  for (const [code, expected] of [
    [0x99d, "tpm2/wrong-state"],
    [0x1df, "tpm2/other-chip"],
    [0x921, "tpm2/lockout"],
    [0x98e, "tpm2/refused"],
    [0x9a2, "tpm2/refused"],
    [0x902, "tpm2/busy"],
    [0x922, "tpm2/busy"],
    [0x2c3, "tpm2/unsupported"],
    [0x1c4, "tpm2/unsupported"],
    [0x101, "tpm2/refused"],
    [0x000b0143, "tpm2/refused"],
  ] as const) {
    const error = chipRefusal(code, "Load");
    assert.equal(error.code, expected, code.toString(16));
    assert.match(error.message, /\(TPM2_Load gave 0x[0-9a-f]{3,}\)$/);
    assert.notEqual(error.remedy, undefined);
  }
  assert.equal(chipRefusal(0x98e, "Unseal").code, "tpm2/wrong-pin");
  assert.ok(wantsAgain(0x922) && wantsAgain(0x90a) && !wantsAgain(0x921) && !wantsAgain(0));
});

test("an authorization value has no zeros at its end, which a chip takes off, and what it was made of is wiped", () => {
  for (const [given, made] of [
    ["01020000", "0102"],
    ["00010203", "00010203"],
    ["0000", ""],
  ] as const) {
    const from = bytes(given);
    using value = authValueFrom(from);
    assert.equal(value.reveal().toString("hex"), made);
    assert.ok(from.every((byte) => byte === 0));
  }
});

const primary = { handle: 0x80000000, name: Buffer.alloc(34) };
const COMMANDS = [
  createPrimary("ecc", SHA256),
  createPrimary("rsa", SHA256),
  createSealed(primary, Buffer.alloc(8), Buffer.alloc(4)),
  loadSealed(primary, { public: Buffer.alloc(2), private: Buffer.alloc(2) }, Buffer.alloc(34)),
  startSession("policy", primary, { hash: SHA256, nonce: Buffer.alloc(32), encryptedSalt: Buffer.alloc(4) }),
  unsealObject(primary),
  policyAuthValue({ handle: 0x03000000 }),
  readRegisters({ bank: SHA256, numbers: [7] }),
  readAttempts(),
  flushContext(1),
];

/** Answers of a real chip, and what becomes of them when bits turn, ends are lost or added. */
const answers = fc.oneof(
  fc.uint8Array({ maxLength: 200 }).map((body) => {
    const head = Buffer.from(`8001${(body.length + 10).toString(16).padStart(8, "0")}00000000`, "hex");
    return Buffer.concat([head, body]);
  }),
  fc
    .tuple(
      fc.constantFrom(...tpm2Vectors.opened.flatMap(({ exchanges }) => exchanges.map(({ answer }) => answer))),
      fc.nat(),
      fc.nat(255),
      fc.integer({ min: -20, max: 20 }),
    )
    .map(([text, at, value, more]) => {
      const answer = bytes(text);
      answer[at % answer.length] = value;
      return more < 0 ? answer.subarray(0, more) : Buffer.concat([answer, Buffer.alloc(more)]);
    }),
);

test("an answer is read or refused, whatever it is", () => {
  let read = 0;
  fc.assert(
    fc.property(answers, fc.constantFrom(...COMMANDS), (answer, command) => {
      try {
        const { parameters, handle } = parseAnswer(answer, command);
        readAnswer<unknown>(command, parameters, handle);
        read++;
      } catch (error) {
        assert.ok(isError(error) && error.code.startsWith("tpm2/"), String(error));
      }
    }),
    { numRuns: 3000 },
  );
  assert.ok(read > 0);
});

test("registers that were not asked for, twice or too many, are refused", () => {
  const command = readRegisters({ bank: SHA256, numbers: [7] });
  const value = `0020${"00".repeat(32)}`;
  const read = (selection: string, count: string, values: string) =>
    readAnswer(command, bytes(`00000001${selection}${count}${values}`), 0);
  assert.equal(read("00000001000b03800000", "00000001", value).values.size, 1);
  for (const [selection, count, values] of [
    ["00000001000403800000", "00000001", value], // another bank
    ["00000002000b03800000000b03800000", "00000002", value + value], // twice
    ["00000001000b03800000", "00000002", value + value],
    ["00000001000b03800000", "00000001", `001f${"00".repeat(31)}`],
    ["00000001000b03800000", "00000001", `${value}00`],
    ["000000ff", "00000000", ""],
  ] as const) {
    assert.throws(() => read(selection, count, values), { code: "tpm2/malformed" }, selection);
  }
});

test("a sealed object's public half is read or refused, whatever it is", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 120 }), (area) => {
      try {
        parseSealedPublic(Buffer.from(area), refuse);
      } catch (error) {
        assert.ok(isError(error, "tpm2/malformed"), String(error));
      }
    }),
  );
});

test("the key that clevis seals is read, and written as clevis does", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (key) => {
      using written = formatSealedJwk(key);
      const jwk = JSON.parse(written.reveal().toString()) as Record<string, unknown>;
      assert.deepEqual(jwk["k"], Buffer.from(key).toString("base64url"));
      using back = parseSealedJwk(written.reveal());
      assert.deepEqual(back.reveal(), Buffer.from(key));
    }),
  );
  const k = Buffer.alloc(32, 7).toString("base64url");
  using spaced = parseSealedJwk(Buffer.from(`{ "kty" : "oct", "k" : "${k}" }`));
  assert.deepEqual(spaced.reveal(), Buffer.alloc(32, 7));
  for (const text of ["", "{}", `"k":"${k}"`, `{"k":"${k.slice(1)}"}`, `{"k":"${k}A"}`, `{"k":"${"/".repeat(43)}"}`]) {
    assert.throws(() => parseSealedJwk(Buffer.from(text)), { code: "clevis/malformed" }, text);
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 120 }), (text) => {
      try {
        parseSealedJwk(Buffer.from(text)).wipe();
      } catch (error) {
        assert.ok(isError(error, "clevis/malformed"), String(error));
      }
    }),
  );
});

const good = JSON.parse(
  Buffer.from(tpm2Vectors.opened[0]?.jwe.split(".")[0] ?? "", "base64url").toString(),
) as JsonObject;
const parse = (header: JsonObject) =>
  parseTpm2Pin(parseClevisPin(encryptJwe(header, Buffer.alloc(32), Buffer.alloc(12), Buffer.of(1))));
const withMember = (member: string, value: Json | undefined) => {
  const { tpm2 } = good["clevis"] as { tpm2: JsonObject };
  const { [member]: _, ...others } = tpm2;
  const changed = value === undefined ? others : { ...others, [member]: value };
  return { ...good, clevis: { pin: "tpm2", tpm2: changed } };
};

test("a binding's header is read, or refused in words", () => {
  assert.deepEqual(parse(good).registers, { bank: hashNamed("sha256"), numbers: [7, 11] });
  assert.equal(parse(withMember("pcr_ids", undefined)).registers, null);
  assert.equal(parse(withMember("key", "rsa2048")).primary.kind, "rsa");
  for (const [member, value, code] of [
    ["hash", undefined, "clevis/malformed"],
    ["hash", "md5", "tpm2/unsupported"],
    ["key", "toString", "tpm2/unsupported"],
    ["key", 7, "clevis/malformed"],
    ["jwk_pub", undefined, "clevis/malformed"],
    ["jwk_pub", "AAAA", "clevis/malformed"],
    ["jwk_pub", "A".repeat(5000), "clevis/malformed"],
    ["jwk_priv", "???", "clevis/malformed"],
    ["pcr_ids", ["7"], "clevis/malformed"],
    ["pcr_ids", "7,99", "clevis/malformed"],
    ["pcr_bank", undefined, "clevis/malformed"],
    ["pcr_bank", "sm3_256", "tpm2/unsupported"],
  ] as const) {
    assert.throws(() => parse(withMember(member, value as Json)), { code }, `${member} ${value}`);
  }
  assert.throws(() => parse({ ...good, alg: "ECDH-ES" }), { code: "jwe/unsupported" });
  fc.assert(
    fc.property(
      fc.constantFrom("hash", "key", "jwk_pub", "jwk_priv", "pcr_ids", "pcr_bank"),
      fc.jsonValue(),
      (member, value) => {
        try {
          parse(withMember(member, value as Json));
        } catch (error) {
          assert.ok(isError(error), String(error));
        }
      },
    ),
  );
});
