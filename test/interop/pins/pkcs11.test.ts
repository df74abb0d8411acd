/** Cards, by SoftHSM2: what opens, what does not, and how many PINs it costs. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { Secret } from "../../../src/core/secret.ts";
import { toBytes, toInteger } from "../../../src/formats/jose/curve.ts";
import {
  encryptJwe,
  type FlattenedJwe,
  formatCompactJwe,
  parseCompactJwe,
  parseJweHeader,
} from "../../../src/formats/jose/jwe.ts";
import type { JsonObject } from "../../../src/formats/json/json.ts";
import type { CardRequest } from "../../../src/formats/pkcs11/exchange.ts";
import { parsePkcs11Uri } from "../../../src/formats/pkcs11/uri.ts";
import type { PinPower } from "../../../src/pins/pin.ts";
import { askCard } from "../../../src/pins/pkcs11/driver.ts";
import { prepareCard } from "../../../src/pins/pkcs11/seal.ts";
import { recoverSecret } from "../../../src/pins/recover.ts";
import { linesIn, makeSoftHsm, noSoftHsm, SOFTHSM, type SoftHsm } from "../../support/soft-hsm.ts";
import { makeFolder, runTool } from "../../support/volumes.ts";
import clevisCards from "../../vectors/clevis-pkcs11.json" with { type: "json" };

const limits = { timeoutMs: 60_000 };
const MODULE = `module-path=${SOFTHSM}`;
const folder = makeFolder();
let made = 0;
const makeHsm = (): SoftHsm => makeSoftHsm(join(folder, `hsm-${made++}`));

/** A person who types these, one after the other, and how often one was asked. */
function person(system: PinPower, ...pins: readonly string[]): { power: PinPower; asked: string[] } {
  const asked: string[] = [];
  const askPin: PinPower["askPin"] = async ({ name }) => {
    asked.push(name);
    return Secret.copy(Buffer.from(pins[Math.min(asked.length, pins.length) - 1] ?? ""));
  };
  return { power: { ...system, askPin }, asked };
}

/** The same, for whom a driver in the test's own folder counts as installed. */
function trusting<P extends PinPower>(power: P): P {
  return { ...power, realPath: async (path) => `/usr/lib/${path}`, findExposures: async () => [] };
}

async function sealTo(power: PinPower, uri: string, secret: Uint8Array): Promise<FlattenedJwe> {
  return (await prepareCard(power, parsePkcs11Uri(uri), limits))(secret);
}

const open = async (power: PinPower, jwe: FlattenedJwe): Promise<Buffer> =>
  (await recoverSecret(power, jwe, limits)).reveal();

describe("a card", { skip: noSoftHsm }, () => {
  for (const [type, id] of [
    ["rsa:2048", "01"],
    ["rsa:3072", "02"],
    ["EC:prime256v1", "03"],
    ["EC:secp384r1", "04"],
    ["EC:secp521r1", "05"],
  ] as const) {
    test(`opens what was sealed to its key: ${type}`, async () => {
      const hsm = makeHsm();
      hsm.makeToken("ops", "1234");
      hsm.makeKey("ops", "1234", type, "disk", id);
      const { power } = person(hsm.system, "1234");
      const secret = randomBytes(40);
      const jwe = await sealTo(power, `pkcs11:token=ops;object=disk;id=%${id}?${MODULE}`, secret);
      assert.deepEqual(await open(power, jwe), secret);
    });
  }

  test("what clevis 24 has sealed opens", async () => {
    const hsm = makeHsm();
    const { cases, pin, plaintext, privateKey, token } = clevisCards;
    hsm.makeToken(token, pin);
    hsm.importKey(token, pin, privateKey, "disk", "01");
    for (const { name, jwe } of cases) {
      const { power } = person(hsm.system, pin);
      assert.equal((await open(power, parseCompactJwe(jwe))).toString(), plaintext, name);
    }
  });

  test("a binding that names no mechanism opens, as clevis's own steps make one", async () => {
    const hsm = makeHsm();
    hsm.makeToken("ops", "1234");
    hsm.makeKey("ops", "1234", "rsa:2048", "disk", "01");
    const jwe = sealAsClevis(hsm, { uri: `pkcs11:token=ops?${MODULE}`, mechanism: "" }, Buffer.from("secret"));
    assert.equal((await open(person(hsm.system, "1234").power, jwe)).toString(), "secret");
  });

  test("what we seal to a card without OAEP is opened by the very steps of clevis-decrypt-pkcs11", async () => {
    const hsm = makeHsm();
    hsm.makeToken("ops", "1234");
    hsm.makeKey("ops", "1234", "rsa:2048", "disk", "01");
    const parameters = "unsigned long session, unsigned long *mechanism, unsigned long key";
    const body = `if (*mechanism == 9) return 0x70; // CKM_RSA_PKCS_OAEP, CKR_MECHANISM_INVALID
      return ((unsigned long (*)(unsigned long, void *, unsigned long))REAL)(session, mechanism, key);`;
    const driver = hsm.makeDriver("old", { place: 33, parameters, body });
    const power = trusting(person(hsm.system, "1234").power);
    const jwe = await sealTo(power, `pkcs11:token=ops?module-path=${driver}`, Buffer.from("secret"));
    assert.equal(openAsClevis(hsm, jwe, "1234").toString(), "secret");
  });

  test("two cards at once, each by its own PIN, are the two shares of one binding", async () => {
    const hsm = makeHsm();
    const credentials = join(hsm.folder, "credentials");
    mkdirSync(credentials, { mode: 0o700 });
    const shares: FlattenedJwe[] = [];
    const { p, key, share } = shamir();
    for (const [index, pin] of [
      [1, "1111"],
      [2, "2222"],
    ] as const) {
      const serial = hsm.makeToken(`card${index}`, pin);
      hsm.makeKey(`card${index}`, pin, "rsa:2048", "disk", "01");
      writeFileSync(join(credentials, `nightlatch.pkcs11-pin.${serial}`), `${pin}\n`, { mode: 0o600 });
      const { power } = person(hsm.system, pin);
      shares.push(await sealTo(power, `pkcs11:token=card${index}?${MODULE}`, share(index)));
    }
    const sss = { t: 2, p: p.toString("base64url"), jwe: shares.map(formatCompactJwe) };
    const header: JsonObject = { alg: "dir", enc: "A256GCM", clevis: { pin: "sss", sss } };
    const jwe = encryptJwe(header, key, randomBytes(12), Buffer.from("both"));
    process.env["CREDENTIALS_DIRECTORY"] = credentials;
    try {
      assert.equal((await open(hsm.system, jwe)).toString(), "both");
    } finally {
      delete process.env["CREDENTIALS_DIRECTORY"];
    }
  });

  test("a PIN that is wrong costs one try, and is not tried again by itself", async () => {
    const hsm = makeHsm();
    hsm.makeToken("ops", "1234");
    hsm.makeKey("ops", "1234", "rsa:2048", "disk", "01");
    const tries = join(hsm.folder, "tries");
    const counting = hsm.makeDriver("counting", { ...LOGIN, body: count(tries) });
    const uri = `pkcs11:token=ops?module-path=${counting}`;
    const counted = await sealTo(trusting(person(hsm.system, "1234").power), uri, Buffer.from("secret"));
    rmSync(tries);
    const { power, asked } = person(trusting(hsm.system), "0000", "0000", "1234");
    await assert.rejects(open(power, counted), { code: "card/wrong-pin" });
    assert.equal(linesIn(tries), 1);
    assert.match(hsm.flagsOf("ops"), /user PIN count low/);
    await assert.rejects(open(power, counted), { code: "card/wrong-pin", message: /was wrong before/ });
    assert.equal(linesIn(tries), 1, "it was tried again");
    // A credential is not tried while the card says that a try was lost; a person may.
    const credentials = join(hsm.folder, "credentials");
    mkdirSync(credentials, { mode: 0o700 });
    writeFileSync(join(credentials, "nightlatch.pkcs11-pin"), "1234", { mode: 0o600 });
    process.env["CREDENTIALS_DIRECTORY"] = credentials;
    try {
      await assert.rejects(open(trusting(hsm.system), counted), { code: "card/few-tries" });
      assert.equal(linesIn(tries), 1, "a credential was tried");
      assert.equal((await open(power, counted)).toString(), "secret");
      assert.equal(linesIn(tries), 2);
      assert.equal((await open(trusting(hsm.system), counted)).toString(), "secret");
    } finally {
      delete process.env["CREDENTIALS_DIRECTORY"];
    }
    assert.deepEqual(
      asked,
      [1, 2, 3].map(() => 'the token "ops"'),
    );
  });

  for (const [flag, code] of [
    ["0x20000", "card/few-tries"], // CKF_USER_PIN_FINAL_TRY
    ["0x40000", "card/locked"], // CKF_USER_PIN_LOCKED
    ["0x100", "card/unsupported"], // CKF_PROTECTED_AUTHENTICATION_PATH
  ] as const) {
    test(`no PIN is tried on a card with the flag ${flag}, and nobody is asked for one`, async () => {
      const hsm = makeHsm();
      hsm.makeToken("ops", "1234");
      hsm.makeKey("ops", "1234", "rsa:2048", "disk", "01");
      const body = `unsigned long value = ((unsigned long (*)(unsigned long, unsigned char *))REAL)(slot, info);
        *(unsigned long *)(info + 96) |= ${flag}; return value;`;
      const parameters = "unsigned long slot, unsigned char *info";
      const flagged = hsm.makeDriver("flagged", { place: 6, parameters, body });
      const { power, asked } = person(trusting(hsm.system), "1234");
      const uri = parsePkcs11Uri(`pkcs11:token=ops?module-path=${flagged}`);
      await assert.rejects(prepareCard(power, uri, limits), { code });
      assert.deepEqual(asked, []);
    });
  }

  test("what is absent, ambiguous or of no use has its own error, and costs no try", async () => {
    const hsm = makeHsm();
    hsm.makeToken("ops", "1234");
    hsm.makeToken("other", "9999");
    hsm.makeKey("ops", "1234", "rsa:2048", "disk", "01");
    hsm.makeKey("ops", "1234", "rsa:1024", "short", "02");
    const { power } = person(hsm.system, "1234");
    const fails = (uri: string, code: string) =>
      assert.rejects(prepareCard(power, parsePkcs11Uri(uri), limits), { code }, uri);
    await fails(`pkcs11:token=nobody?${MODULE}`, "card/absent");
    await fails(`pkcs11:manufacturer=SoftHSM%20project?${MODULE}`, "card/ambiguous");
    await fails(`pkcs11:token=ops?${MODULE}`, "card/ambiguous");
    await fails(`pkcs11:token=ops;object=nothing?${MODULE}`, "card/no-key");
    await fails(`pkcs11:token=ops;object=short?${MODULE}`, "card/unsupported");
    await fails("pkcs11:token=ops?module-path=/usr/lib/nowhere.so", "card/no-driver");
    await fails(`pkcs11:token=ops?module-path=${folder}/hsm-0/counting.so`, "card/no-driver");
    await fails("pkcs11:token=ops?module-path=/usr/bin/env", "card/no-driver");
    await assert.rejects(prepareCard(hsm.system, parsePkcs11Uri(`pkcs11:token=ops?${MODULE}`), limits), {
      code: "card/pin-needed",
    });
    assert.doesNotMatch(hsm.flagsOf("ops"), /count low/);
    assert.doesNotMatch(hsm.flagsOf("other"), /count low/);
  });

  test("a card of the same name with another key opens nothing", async () => {
    const [first, second] = [makeHsm(), makeHsm()];
    for (const hsm of [first, second]) {
      hsm.makeToken("ops", "1234");
      hsm.makeKey("ops", "1234", "rsa:2048", "disk", "01");
    }
    const jwe = await sealTo(person(first.system, "1234").power, `pkcs11:token=ops?${MODULE}`, Buffer.from("secret"));
    await assert.rejects(open(person(second.system, "1234").power, jwe), { code: /^(?:card\/failed|pin\/wrong-key)$/ });
  });
});

/** C_Login */
const LOGIN = { place: 18, parameters: "unsigned long session, unsigned long user, void *pin, unsigned long length" };

const count = (file: string): string => `FILE *file = fopen("${file}", "a"); fputs("login\\n", file); fclose(file);
  return ((unsigned long (*)(unsigned long, unsigned long, void *, unsigned long))REAL)(session, user, pin, length);`;

describe("a driver", { skip: noSoftHsm }, () => {
  const request = (module: string): CardRequest => ({
    module,
    token: { token: "ops" },
    object: { object: "disk" },
    task: { kind: "describe" },
    attended: true,
    pin: Buffer.from("1234"),
  });
  const hsmWithKey = (): SoftHsm => {
    const hsm = makeHsm();
    hsm.makeToken("ops", "1234");
    hsm.makeKey("ops", "1234", "rsa:2048", "disk", "01");
    return hsm;
  };

  test("that crashes is an error, wherever it does", { skip: noSoftHsm }, async () => {
    const hsm = hsmWithKey();
    const places = { C_Initialize: 0, C_GetTokenInfo: 6, C_Login: 18, C_FindObjects: 27 };
    for (const [name, place] of Object.entries(places)) {
      for (const [how, body] of [
        ["segfault", "*(volatile int *)0 = 1;"],
        ["abort", "abort();"],
        ["exit", "exit(0);"],
      ] as const) {
        const driver = hsm.makeDriver(`${name}-${how}`, { place, body });
        await assert.rejects(askCard(hsm.system, request(driver), limits), { code: "card/driver-crashed" }, name + how);
      }
    }
  });

  test("that hangs is ended at the deadline, and its process with it", async () => {
    const hsm = hsmWithKey();
    const pid = join(hsm.folder, "pid");
    const body = `FILE *file = fopen("${pid}", "w"); fprintf(file, "%d", getpid()); fclose(file); for (;;) pause();`;
    const driver = hsm.makeDriver("hangs", { place: 0, body });
    await assert.rejects(askCard(hsm.system, request(driver), { timeoutMs: 5000 }), { code: "card/driver-hangs" });
    assert.throws(() => process.kill(Number(readFileSync(pid, "utf8")), 0), { code: "ESRCH" });
  });

  test("that prints has its words kept apart from the answer", async () => {
    const hsm = hsmWithKey();
    const body = `printf("hello\\n"); fflush(stdout); write(1, "again", 5); return ((unsigned long (*)(void *))REAL)(arguments);`;
    const driver = hsm.makeDriver("prints", { place: 0, parameters: "void *arguments", body });
    assert.equal((await askCard(hsm.system, request(driver), limits)).outcome, "done");
  });

  test("has no network, no capability to speak of, and no new privileges", async () => {
    const hsm = hsmWithKey();
    const seen = join(hsm.folder, "seen");
    const body = `FILE *file = fopen("${seen}", "w");
      for (int family = 1; family <= 17; family++) {
        int made = socket(family, family == 16 || family == 17 ? SOCK_RAW : SOCK_STREAM, 0);
        fprintf(file, "socket %d %d\\n", family, made < 0 ? errno : 0);
      }
      char line[256]; FILE *status = fopen("/proc/thread-self/status", "r");
      while (fgets(line, sizeof line, status)) if (!strncmp(line, "Cap", 3) || !strncmp(line, "NoNew", 5)) fputs(line, file);
      fclose(file); return ((unsigned long (*)(void *))REAL)(arguments);`;
    const driver = hsm.makeDriver("looks", { place: 0, parameters: "void *arguments", body });
    assert.equal((await askCard(hsm.system, request(driver), limits)).outcome, "done");
    const text = readFileSync(seen, "utf8");
    assert.match(text, /^socket 1 0$/m); // AF_UNIX
    assert.match(text, /^socket 16 (?:0|93)$/m); // AF_NETLINK
    for (const family of [2, 10, 17]) assert.match(text, new RegExp(`^socket ${family} 97$`, "m"));
    assert.match(text, /^NoNewPrivs:\s+1$/m);
    const effective = BigInt(`0x${/^CapEff:\s+(\w+)$/m.exec(text)?.[1]}`);
    assert.equal(effective & ~6n, 0n);
  });

  test("sees no PIN in its arguments or its environment", async () => {
    const hsm = hsmWithKey();
    const seen = join(hsm.folder, "seen");
    const body = `char bytes[65536]; FILE *out = fopen("${seen}", "w");
      const char *names[] = {"/proc/self/cmdline", "/proc/self/environ"};
      for (int at = 0; at < 2; at++) { FILE *in = fopen(names[at], "r"); size_t read = fread(bytes, 1, sizeof bytes, in); fwrite(bytes, 1, read, out); fclose(in); }
      fclose(out); return ((unsigned long (*)(void *))REAL)(arguments);`;
    const driver = hsm.makeDriver("reads", { place: 0, parameters: "void *arguments", body });
    const pin = "1234";
    assert.equal((await askCard(hsm.system, { ...request(driver), pin: Buffer.from(pin) }, limits)).outcome, "done");
    const text = readFileSync(seen, "latin1");
    assert.match(text, /pkcs11/);
    assert.ok(!text.replaceAll(hsm.folder, "").includes(pin));
  });
});

/** Two integers of a prime's length, x and y: a line through the key. */
function shamir(): { p: Buffer; key: Buffer; share: (x: number) => Buffer } {
  const prime = 2n ** 256n - 189n;
  const key = Buffer.concat([Buffer.alloc(1), randomBytes(31)]);
  const slope = toInteger(randomBytes(31));
  const at = (x: bigint) => (toInteger(key) + slope * x) % prime;
  const share = (x: number) => Buffer.concat([toBytes(BigInt(x), 32), toBytes(at(BigInt(x)), 32)]);
  return { p: toBytes(prime, 32), key, share };
}

/** The programs that clevis-encrypt-pkcs11 runs, in its order. */
function sealAsClevis(
  hsm: SoftHsm,
  { uri, mechanism = "" }: { readonly uri: string; readonly mechanism?: string },
  secret: Buffer,
): FlattenedJwe {
  const jwk = runTool(["jose", "jwk", "gen", "--input", '{"alg":"A256GCM"}']);
  const publicKey = join(hsm.folder, "public.der");
  const read = ["--slot-index", "0", "--read-object", "--type", "pubkey", "--id", "01", "--output-file", publicKey];
  runTool(["env", `SOFTHSM2_CONF=${hsm.environment["SOFTHSM2_CONF"]}`, "pkcs11-tool", "--module", SOFTHSM, ...read]);
  const wrapped = runTool(["openssl", "rsautl", "-encrypt", "-pubin", "-keyform", "DER", "-inkey", publicKey], jwk);
  const pkcs11 = { uri, mechanism, key: wrapped.toString("base64url") };
  const template = JSON.stringify({ protected: { clevis: { pin: "pkcs11", pkcs11 } } });
  const input = Buffer.concat([Buffer.from(template), jwk, secret]);
  return parseCompactJwe(
    runTool(["jose", "jwe", "enc", "--input=-", "--key=-", "--detached=-", "--compact"], input).toString(),
  );
}

/** The programs that clevis-decrypt-pkcs11 runs, in its order. */
function openAsClevis(hsm: SoftHsm, jwe: FlattenedJwe, pin: string): Buffer {
  const header = parseJweHeader(jwe) as unknown as { clevis: { pkcs11: { key: string; mechanism: string } } };
  const { key, mechanism } = header.clevis.pkcs11;
  const input = join(hsm.folder, "wrapped");
  writeFileSync(input, Buffer.from(key, "base64url"));
  const decrypt = [
    "--login",
    "--decrypt",
    "--input-file",
    input,
    "-p",
    pin,
    "--mechanism",
    mechanism,
    "--slot-index",
    "0",
  ];
  const env = ["env", `SOFTHSM2_CONF=${hsm.environment["SOFTHSM2_CONF"]}`];
  const jwk = runTool([...env, "pkcs11-tool", "--module", SOFTHSM, ...decrypt]);
  return runTool(
    ["jose", "jwe", "dec", "--key=-", "--input=-"],
    Buffer.concat([jwk, Buffer.from(formatCompactJwe(jwe))]),
  );
}
