// @ts-nocheck
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { NightlatchError } from "../../../src/core/errors.ts";
import { parseClevisToken } from "../../../src/formats/clevis/clevis.ts";
import { CURVES, toBytes } from "../../../src/formats/jose/curve.ts";
import { encryptJwe, type FlattenedJwe, formatCompactJwe, parseCompactJwe } from "../../../src/formats/jose/jwe.ts";
import { parseAdvertisement } from "../../../src/formats/tang/tang.ts";
import { recoverSecret } from "../../../src/pins/recover.ts";
import { isWorthRetrying } from "../../../src/pins/retry.ts";
import { sealToAdvertisement } from "../../../src/pins/tang/tang.ts";
import { clevisVectors, playTangs } from "../../vectors/tangs.ts";

const limits = { timeoutMs: 1000 };
const caseNamed = (name: string): FlattenedJwe =>
  parseCompactJwe(clevisVectors.cases.find((entry) => entry.name === name)?.jwe ?? assert.fail(name));
const status = (code: number, body = "") => ({ status: code, contentType: "", body: Buffer.from(body) });
const unreachable = () => Promise.reject(new NightlatchError("net/unreachable", "nobody there"));

for (const { name, jwe } of clevisVectors.cases) {
  test(`what clevis sealed opens: ${name}`, async () => {
    using secret = await recoverSecret(playTangs().power, parseCompactJwe(jwe), limits);
    assert.equal(secret.reveal().toString(), clevisVectors.plaintext);
  });
}

test("what clevis luks bind wrote opens: LUKS2's token and LUKS1's luksmeta", async () => {
  const { luks1, luks2 } = clevisVectors;
  const token = parseClevisToken(luks2.token) ?? assert.fail();
  assert.deepEqual(token.keyslots, [1]);
  assert.equal((await recoverSecret(playTangs().power, token.jwe, limits)).reveal().toString(), luks2.passphrase);
  const jwe = parseCompactJwe(luks1.luksmeta);
  assert.equal((await recoverSecret(playTangs().power, jwe, limits)).reveal().toString(), luks1.passphrase);
});

test("what we seal opens, on every curve", async () => {
  for (const { url, advertisement } of clevisVectors.servers) {
    const { power } = playTangs();
    const jwe = sealToAdvertisement(
      power,
      url,
      parseAdvertisement(advertisement),
      Buffer.from("secret\0\xff", "latin1"),
    );
    assert.equal((await recoverSecret(power, jwe, limits)).reveal().toString("latin1"), "secret\0\xff");
  }
});

const reply = (crv: string, x: string, y: string) => JSON.stringify({ kty: "EC", crv, x, y });
const zero = Buffer.alloc(66).toString("base64url");
const generator256 = reply(
  "P-256",
  "axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY",
  "T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU",
);
const REFUSALS = [
  [403, '{"error":"machine/locked"}', "pin/locked", false],
  [404, "", "pin/unknown-key", true],
  [404, "404 page not found\n", "pin/unknown-key", true],
  [410, '{"error":"latch/revoked"}', "pin/revoked", false],
  [403, "", "pin/bad-reply", true],
  [403, "<html>", "pin/bad-reply", true],
  [403, '{"error":"latch/revoked"}', "pin/revoked", false],
  [403, '{"error":"invite/unknown"}', "pin/bad-reply", true],
  [410, "", "pin/bad-reply", true],
  [404, '{"error":"latch/revoked"}', "pin/unknown-key", true],
  [401, "", "pin/bad-reply", true],
  [407, "", "pin/bad-reply", true],
  [421, "", "pin/bad-reply", true],
  [429, "", "pin/busy", true],
  [500, "", "pin/busy", true],
  [502, "<html>", "pin/busy", true],
  [503, "", "pin/busy", true],
  [504, "", "pin/busy", true],
  [521, "", "pin/busy", true],
  [400, "", "pin/bad-reply", true],
  [204, "", "pin/bad-reply", true],
  [301, "", "pin/bad-reply", true],
  [200, "", "pin/bad-reply", true],
  [200, "<html>log in</html>", "pin/bad-reply", true],
  [200, "[]", "pin/bad-reply", true],
  [200, '{"kty":"RSA","n":"AA","e":"AQAB"}', "pin/bad-reply", true],
  [200, reply("P-521", zero, zero), "pin/bad-reply", true],
  [200, reply("P-521", zero.slice(4), zero), "pin/bad-reply", true],
  [200, generator256, "pin/bad-reply", true],
] as const;

for (const [code, body, error, retry] of REFUSALS) {
  test(`answer ${code} ${body.slice(0, 30)} is ${error}`, async () => {
    const { power, asked } = playTangs(() => status(code, body));
    await assert.rejects(recoverSecret(power, caseNamed("tang, P-521"), limits), (thrown: NightlatchError) => {
      assert.equal(thrown.code, error);
      assert.match(thrown.message, /^127\.0\.0\.1:\d+ /);
      assert.equal(isWorthRetrying(thrown), retry);
      return true;
    });
    assert.equal(asked.length, 1);
  });
}

test("an honest point that belongs to another key does not open the binding", async () => {
  const generator = CURVES["P-521"];
  const { p521 } = await import("@noble/curves/nist.js");
  const { x, y } = p521.Point.BASE.toAffine();
  const encode = (value: bigint) => toBytes(value, generator.lengthBytes).toString("base64url");
  const { power } = playTangs(() => status(200, reply("P-521", encode(x), encode(y))));
  await assert.rejects(recoverSecret(power, caseNamed("tang, P-521"), limits), { code: "pin/wrong-key" });
});

test("a binding that was changed does not open", async () => {
  const jwe = caseNamed("tang, P-256");
  const flipped = { ...jwe, ciphertext: (jwe.ciphertext.startsWith("A") ? "B" : "A") + jwe.ciphertext.slice(1) };
  await assert.rejects(recoverSecret(playTangs().power, flipped, limits), { code: "pin/wrong-key" });
});

test("the request names the key and says nothing that is secret or constant", async () => {
  const bodies: string[] = [];
  const { power, asked } = playTangs((_server, request) => {
    bodies.push(Buffer.from(request.body).toString());
    assert.equal(request.method, "POST");
    assert.deepEqual(request.headers, { "content-type": "application/jwk+json" });
    assert.equal(request.timeoutMs, 1000);
    return null;
  });
  await recoverSecret(power, caseNamed("tang, P-256"), limits);
  await recoverSecret(power, caseNamed("tang, P-256"), limits);
  assert.equal(asked[0], asked[1]);
  assert.notEqual(bodies[0], bodies[1]);
  assert.match(
    bodies[0] ?? "",
    /^{"alg":"ECMR","crv":"P-256","key_ops":\["deriveKey"\],"kty":"EC","x":"[\w-]{43}","y":"[\w-]{43}"}$/,
  );
});

test("sss: two of three suffice, whichever is gone; and the last one is not waited for", async () => {
  for (const gone of [0, 1, 2]) {
    const { power, asked } = playTangs((server) => (server === gone ? unreachable() : null));
    const secret = await recoverSecret(power, caseNamed("sss, 2 of 3"), limits);
    assert.equal(secret.reveal().toString(), clevisVectors.plaintext);
    assert.equal(asked.length, 3, "all are asked side by side");
  }
  let aborted = false;
  const { power } = playTangs((server, request) =>
    server !== 2
      ? null
      : new Promise((_, reject) =>
          request.signal?.addEventListener("abort", () => {
            aborted = true;
            reject(new NightlatchError("net/unreachable", "given up"));
          }),
        ),
  );
  await recoverSecret(power, caseNamed("sss, 2 of 3"), limits);
  assert.ok(aborted, "a silent server is given up once enough have answered");
});

test("sss: the error is worth a retry exactly if a retry may reach the threshold", async () => {
  const outcome = async (answers: readonly ("ok" | "gone" | "locked")[]) => {
    const { power } = playTangs((server) =>
      answers[server] === "ok"
        ? null
        : answers[server] === "gone"
          ? unreachable()
          : status(403, '{"error":"machine/locked"}'),
    );
    try {
      await recoverSecret(power, caseNamed("sss, 2 of 3"), limits);
      return "ok";
    } catch (error) {
      return (error as NightlatchError).code;
    }
  };
  assert.equal(await outcome(["ok", "ok", "locked"]), "ok");
  assert.equal(await outcome(["ok", "gone", "locked"]), "net/unreachable");
  assert.equal(await outcome(["gone", "gone", "locked"]), "net/unreachable");
  assert.equal(await outcome(["ok", "gone", "gone"]), "net/unreachable");
  assert.equal(await outcome(["ok", "locked", "locked"]), "pin/locked");
  assert.equal(await outcome(["gone", "locked", "locked"]), "pin/locked");
});

test("sss: a child that nobody supports counts as one that failed", async () => {
  const header = (clevis: object) => ({ alg: "dir", enc: "A256GCM", clevis }) as Parameters<typeof encryptJwe>[0];
  const tpm = formatCompactJwe(
    encryptJwe(header({ pin: "yubikey", yubikey: {} }), randomBytes(32), randomBytes(12), randomBytes(64)),
  );
  const p = Buffer.alloc(32, 0xff).toString("base64url");
  const sealed = encryptJwe(
    header({ pin: "sss", sss: { t: 1, p, jwe: [tpm] } }),
    randomBytes(32),
    randomBytes(12),
    Buffer.of(1),
  );
  await assert.rejects(recoverSecret(playTangs().power, sealed, limits), {
    code: "pin/unsupported",
    message: "the binding needs the pin yubikey, which is not supported",
  });
});

test("sss: nesting and the number of servers are bounded", async () => {
  const p = Buffer.alloc(32, 0xff).toString("base64url");
  const wrap = (children: readonly string[]) =>
    formatCompactJwe(
      encryptJwe(
        { alg: "dir", enc: "A256GCM", clevis: { pin: "sss", sss: { t: 1, p, jwe: [...children] } } },
        randomBytes(32),
        randomBytes(12),
        randomBytes(64),
      ),
    );
  let deep = formatCompactJwe(caseNamed("tang, P-256"));
  for (let depth = 0; depth < 5; depth++) deep = wrap([deep]);
  await assert.rejects(recoverSecret(playTangs().power, parseCompactJwe(deep), limits), {
    code: "clevis/malformed",
    message: "the binding asks for shares within shares more than 4 deep",
  });
  const leaf = formatCompactJwe(caseNamed("tang, P-256"));
  const forty = wrap(Array.from({ length: 40 }, () => leaf));
  const { power, asked } = playTangs(() => status(503));
  await assert.rejects(recoverSecret(power, parseCompactJwe(wrap([forty, forty])), limits), { code: "pin/busy" });
  assert.equal(asked.length, 64);
});

test("whatever a server answers, the outcome is a secret that is right or an error with a code", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 100, max: 599 }),
      fc.oneof(
        fc.uint8Array({ maxLength: 200 }),
        fc.json().map((text) => Buffer.from(text)),
      ),
      async (code, body) => {
        const { power } = playTangs(() => ({ status: code, contentType: "text/html", body: Buffer.from(body) }));
        await assert.rejects(recoverSecret(power, caseNamed("tang, P-256"), limits), (error: unknown) => {
          assert.ok(error instanceof NightlatchError && error.code.startsWith("pin/"), String(error));
          return true;
        });
      },
    ),
    { numRuns: 100 },
  );
});

test("the event loop turns between a token's exchanges past the fourth, and what is given up begins no more of them", async () => {
  const { url, advertisement } = clevisVectors.servers[0] ?? assert.fail();
  const { power } = playTangs();
  const child = formatCompactJwe(sealToAdvertisement(power, url, parseAdvertisement(advertisement), Buffer.alloc(64)));
  const prime = Buffer.alloc(32, 0xff).toString("base64url");
  const header = {
    alg: "dir",
    enc: "A256GCM",
    clevis: { pin: "sss", sss: { t: 1, p: prime, jwe: Array(8).fill(child) } },
  };
  const jwe = encryptJwe(header, randomBytes(32), randomBytes(12), Buffer.from("secret"));
  const stop = new AbortController();
  const turns = new Set<number>();
  let turn = 0;
  const tick = () => {
    turn++;
    if (!stop.signal.aborted) setImmediate(tick);
  };
  setImmediate(tick);
  let asked = 0;
  const request = async () => {
    turns.add(turn);
    if (++asked === 6) stop.abort();
    return unreachable();
  };
  await assert.rejects(recoverSecret({ ...power, request }, jwe, { ...limits, signal: stop.signal }), {
    code: "net/unreachable",
  });
  assert.equal(asked, 6);
  assert.equal(turns.size, 3);
});
