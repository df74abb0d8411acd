/** Each way in which a card, a chip or a share fails: its own code, a remedy, and what it costs. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { type ErrorCode, NightlatchError } from "../../../src/core/errors.ts";
import { Secret } from "../../../src/core/secret.ts";
import { parseClevisPin } from "../../../src/formats/clevis/clevis.ts";
import { parseSssPin } from "../../../src/formats/clevis/sss.ts";
import { type FlattenedJwe, formatCompactJwe } from "../../../src/formats/jose/jwe.ts";
import { parsePkcs11Uri } from "../../../src/formats/pkcs11/uri.ts";
import type { PinPower } from "../../../src/pins/pin.ts";
import { prepareCard } from "../../../src/pins/pkcs11/seal.ts";
import { recoverSecret } from "../../../src/pins/recover.ts";
import { sealToShares } from "../../../src/pins/sss/seal.ts";
import { sealToChip } from "../../../src/pins/tpm2/seal.ts";
import { makeSoftHsm, noSoftHsm, SOFTHSM, type SoftHsm } from "../../support/soft-hsm.ts";
import { noSwtpm, type Swtpm, startSwtpm } from "../../support/tpm/swtpm.ts";
import { makeFolder, runTool } from "../../support/volumes.ts";

const limits = { timeoutMs: 60_000 };
const folder = makeFolder();
const SECRET = Buffer.from("the passphrase of a keyslot");

describe("what fails", { skip: noSoftHsm || noSwtpm, concurrency: 1 }, () => {
  let chip: Swtpm;
  let hsm: SoftHsm;
  before(async () => {
    hsm = makeSoftHsm(join(folder, "hsm"));
    hsm.makeToken("ops", "1234");
    hsm.makeKey("ops", "1234", "rsa:2048", "disk", "01");
    chip = await startSwtpm();
    process.env["TPM2TOOLS_TCTI"] = chip.tcti;
  });
  after(() => chip[Symbol.asyncDispose]());

  /** Nobody is there where `pin` is null. A driver in the test's own folder counts as installed. */
  const as = (pin: string | null): PinPower => {
    const power = {
      ...hsm.system,
      realPath: async (path: string) => `/usr/lib/${path}`,
      findExposures: async () => [],
    };
    return pin === null ? power : { ...power, askPin: async () => Secret.copy(Buffer.from(pin)) };
  };
  const toCard = async (label: string) => {
    const uri = parsePkcs11Uri(`pkcs11:token=${label};object=disk?module-path=${SOFTHSM}`);
    return (await prepareCard(as("1234"), uri, limits))(SECRET);
  };
  const toChip = async (pin: string | null = null, secret: Uint8Array = SECRET) => {
    using value = Secret.copy(Buffer.from(pin ?? "none"));
    const own = pin === null ? {} : { pin: { value, salt: Buffer.alloc(16, 1) } };
    return await sealToChip(hsm.system, { kind: "ecc", registers: null, ...own }, secret, limits);
  };
  const toShares = (threshold: number) => {
    const seal = (share: Uint8Array) => toChip(null, share);
    return sealToShares(hsm.system, threshold, [seal, seal, seal], SECRET);
  };
  const toLocked = async () => {
    const body = `unsigned long value = ((unsigned long (*)(unsigned long, unsigned char *))REAL)(slot, info);
      *(unsigned long *)(info + 96) |= 0x40000; return value; /* CKF_USER_PIN_LOCKED */`;
    const driver = hsm.makeDriver("locked", { place: 6, parameters: "unsigned long slot, unsigned char *info", body });
    return edited(await toCard("ops"), (text) => text.replace(SOFTHSM, driver));
  };
  const counted = () =>
    Number(/LOCKOUT_COUNTER: (\S+)/.exec(chip.run(["tpm2_getcap", "properties-variable"]).toString())?.[1]);
  const lost = () => [counted(), hsm.flagsOf("ops").includes("count low")] as const;

  test("each has its code and a remedy, and costs an attempt only where a person typed a wrong PIN", async () => {
    const [card, locked] = [await toCard("ops"), await toLocked()];
    const [chipAlone, chipPin] = [await toChip(), await toChip("2580")];
    const [two, other] = [await toShares(2), await toShares(2)];
    const [first, second] = sharesIn(two);
    const [foreign = ""] = sharesIn(other);
    assert.ok(first !== undefined && second !== undefined);
    const tampered = first.slice(0, -4) + flip(first.slice(-4));
    const rows: readonly (readonly [
      what: string,
      jwe: FlattenedJwe,
      pin: string | null,
      code: ErrorCode,
      remedy: RegExp,
      cost: number,
    ])[] = [
      ["a card whose PIN nobody types", card, null, "card/pin-needed", /nightlatch unlock asks for it/, 0],
      ["a TPM's PIN that nobody types", chipPin, null, "pin/needs-person", /nightlatch unlock asks for the PIN/, 0],
      [
        "a tampered JWE of the TPM",
        { ...chipAlone, tag: flip(chipAlone.tag) },
        null,
        "pin/wrong-key",
        /bind it anew/,
        0,
      ],
      [
        "tampered shares",
        edited(two, (text) => text.replace(first, tampered).replace('"t":2', '"t":3')),
        null,
        "pin/wrong-key",
        /bind it anew/,
        0,
      ],
      [
        "a lower threshold",
        edited(two, (text) => text.replace('"t":2', '"t":1')),
        null,
        "pin/wrong-shares",
        /bind it anew/,
        0,
      ],
      [
        "a higher threshold",
        edited(two, (text) => text.replace('"t":2', '"t":3')),
        null,
        "pin/wrong-shares",
        /bind it anew/,
        0,
      ],
      [
        "a threshold that no shares reach",
        edited(two, (text) => text.replace('"t":2', '"t":4')),
        null,
        "clevis/malformed",
        /bind it anew/,
        0,
      ],
      [
        "a share of another set",
        edited(two, (text) => text.replace(first, foreign).replace('"t":2', '"t":3')),
        null,
        "pin/wrong-shares",
        /bind it anew/,
        0,
      ],
      ["a locked card", locked, "1234", "card/locked", /PUK or SO PIN/, 0],
      ["a wrong PIN of the TPM", chipPin, "0000", "tpm2/wrong-pin", /Give the right PIN/, 1],
      ["the same once more", chipPin, "0000", "tpm2/wrong-pin", /Give the right PIN/, 0],
      ["a wrong PIN of a card", card, "0000", "card/wrong-pin", /sets the card's count back/, 1],
      ["the same once more", card, "0000", "card/wrong-pin", /sets the card's count back/, 0],
    ];
    for (const [what, jwe, pin, code, remedy, cost] of rows) {
      const before = lost();
      await assertFails(what, jwe, pin, code, remedy);
      const now = lost();
      const costs = now[0] - before[0] + Number(now[1]) - Number(before[1]);
      assert.equal(costs, cost, what);
    }
    // Another program has used the chip up to its last try.
    chip.run(["tpm2_dictionarylockout", "--setup-parameters", "--max-tries=2", "--recovery-time=1000"]);
    await assertFails("a chip at its last try", chipPin, "2580", "tpm2/few-tries", /--clear-lockout/);
    chip.run(["tpm2_dictionarylockout", "--setup-parameters", "--max-tries=1", "--recovery-time=1000"]);
    await assertFails("a locked chip", chipPin, "2580", "tpm2/lockout", /--clear-lockout/);
    assert.equal(counted(), 1);
    chip.run(["tpm2_clear", "-c", "p"]);
    await assertFails("a cleared TPM", chipAlone, null, "tpm2/other-chip", /bind it anew with --replace/);
    await assertFails("a cleared TPM with a PIN", chipPin, "2580", "tpm2/other-chip", /bind it anew with --replace/);
    assert.equal(counted(), 0);
    const env = `SOFTHSM2_CONF=${hsm.environment["SOFTHSM2_CONF"]}`;
    runTool(["env", env, "softhsm2-util", "--delete-token", "--token", "ops"]);
    await assertFails("an absent card", card, "1234", "card/absent", /Put the card in/);
  });

  async function assertFails(what: string, jwe: FlattenedJwe, pin: string | null, code: ErrorCode, remedy: RegExp) {
    chip.flush(); // what was given up stays in a chip that no kernel manages
    const error = await recoverSecret(as(pin), jwe, limits).then(
      (secret) => assert.fail(`${what}: ${secret.lengthBytes} bytes`),
      (thrown: unknown) => thrown,
    );
    assert.ok(error instanceof NightlatchError, String(error));
    assert.equal(error.code, code, `${what}: ${error.message}`);
    assert.match(error.remedy ?? "", remedy, what);
    assert.notEqual(error.meaning, undefined, what);
  }
});

/** The same binding with another header, as whoever can write to the disk makes it. */
function edited(jwe: FlattenedJwe, change: (header: string) => string): FlattenedJwe {
  const text = Buffer.from(jwe.protected, "base64url").toString();
  const other = change(text);
  assert.notEqual(other, text);
  return { ...jwe, protected: Buffer.from(other).toString("base64url") };
}

const sharesIn = (jwe: FlattenedJwe): readonly string[] =>
  parseSssPin(parseClevisPin(jwe)).children.map(formatCompactJwe);

/** Another text of the same length. */
const flip = (text: string): string => (text.startsWith("A") ? "B" : "A") + text.slice(1);
