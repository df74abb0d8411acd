// @ts-nocheck
import assert from "node:assert/strict";
import { createPrivateKey, generateKeyPairSync, randomBytes } from "node:crypto";
import { test } from "node:test";
import { NightlatchError } from "../../../../src/core/errors.ts";
import { Secret } from "../../../../src/core/secret.ts";
import { type EcPublicJwk, exportPublicJwk } from "../../../../src/formats/jose/jwk.ts";
import {
  buildEnrolAnswer,
  identityThumbprint,
  type LatchRequest,
  parseEnrolRequest,
  parseLatchRequest,
  provesInvite,
} from "../../../../src/formats/own/enrolment.ts";
import type { Invite } from "../../../../src/formats/own/invite.ts";
import { buildAdvertisement } from "../../../../src/formats/tang/tang.ts";
import { anotherLatch, enrolMachine } from "../../../../src/pins/latch/enrol.ts";
import { forgetNonce, listServers, readIdentity } from "../../../../src/pins/latch/machine.ts";
import { bodyOf } from "../../../../src/system/http.ts";
import type { HttpRequest, HttpResponse } from "../../../../src/system/port.ts";

const STATE = "/var/lib/nightlatch/machine";
const VOLUME = "1b4e28ba-2fa1-11d2-883f-0016d3cca427";
const limits = { timeoutMs: 1000 };

type EnrolPower = Parameters<typeof enrolMachine>[0];

class PowerCut extends Error {}

/**
 * A machine's disk and network, whose power goes at a step: before the step's effect, or after it.
 */
class Machine implements EnrolPower {
  readonly files = new Map<string, Buffer>();
  readonly modes = new Map<string, number>();
  readonly steps: string[] = [];
  readonly #network: (request: HttpRequest) => HttpResponse;
  cutAt: { readonly step: number; readonly when: "before" | "after" } | null = null;

  constructor(network: (request: HttpRequest) => HttpResponse) {
    this.#network = network;
  }

  async #step<T>(name: string, effect: () => T): Promise<T> {
    const at = this.steps.push(name) - 1;
    if (this.cutAt?.step === at && this.cutAt.when === "before") throw new PowerCut();
    const result = effect();
    if (this.cutAt?.step === at) throw new PowerCut();
    return result;
  }

  random = (lengthBytes: number): Buffer => randomBytes(lengthBytes);
  request = (request: HttpRequest): Promise<HttpResponse> =>
    this.#step(`request ${new URL(request.url).pathname}`, () => this.#network(request));
  writeFile = (path: string, bytes: Uint8Array, mode: number): Promise<void> =>
    this.#step(`write ${path}`, () => {
      this.files.set(path, Buffer.from(bytes));
      this.modes.set(path, mode);
    });
  removeFile = (path: string): Promise<void> => this.#step(`remove ${path}`, () => void this.files.delete(path));
  makeDirectory = (path: string, mode: number): Promise<void> =>
    this.#step(`folder ${path} ${mode.toString(8)}`, () => {});
  readFile = async (path: string): Promise<Buffer> => {
    const bytes = this.files.get(path);
    if (bytes === undefined) throw new NightlatchError("file/missing", `${path} does not exist`);
    return Buffer.from(bytes);
  };
  readFileIfPresent = async (path: string): Promise<Buffer | null> =>
    this.files.has(path) ? await this.readFile(path) : null;
  listDirectory = async (path: string): Promise<string[]> =>
    [...this.files.keys()]
      .filter((name) => name.startsWith(`${path}/`))
      .map((name) => name.slice(path.length + 1))
      .sort();
}

/** A server as docs/format/enrolment.md describes it. */
class Server {
  readonly identity = generateKeyPairSync("ed25519").privateKey;
  readonly invite: Invite;
  readonly latches = new Map<string, string>();
  readonly revoked = new Set<string>();
  usedBy: { readonly machine: string; readonly nonce: string } | null = null;
  refuse: HttpResponse | null = null;

  constructor(url = "http://keys.example:7000") {
    const key = Secret.take(randomBytes(32));
    this.invite = {
      url,
      id: randomBytes(16).toString("base64url"),
      key,
      thumbprint: identityThumbprint(this.identity),
    };
  }

  answer = (request: HttpRequest): HttpResponse => {
    if (this.refuse !== null) return this.refuse;
    assert.equal(request.headers?.["content-type"], "application/jose+json");
    const body = Buffer.from(bodyOf(request) ?? []);
    const { pathname } = new URL(request.url);
    if (!pathname.endsWith("/enroll")) {
      const asked = parseLatchRequest(body);
      assert.ok(request.url === `${this.invite.url}/machine/${asked.machine}/latch`, request.url);
      return this.#latchFor(body, asked);
    }
    const asked = parseEnrolRequest(body);
    if (asked.invite !== this.invite.id || !provesInvite(asked, this.invite.key.reveal()))
      return refusal(403, "invite/unknown");
    const { machine, nonce } = asked;
    if (this.usedBy !== null && this.usedBy.machine !== machine) return refusal(409, "invite/used");
    this.usedBy ??= { machine, nonce };
    return this.#latchFor(body, asked);
  };

  #latchFor(body: Buffer, { machine, nonce }: LatchRequest): HttpResponse {
    const latch = this.latches.get(machine + nonce) ?? randomBytes(16).toString("base64url");
    this.latches.set(machine + nonce, latch);
    if (this.revoked.has(latch)) return refusal(410, "latch/revoked");
    const [signing, exchange] = [pair(), pair()];
    const advertisement = buildAdvertisement({ signing: [signing.jwk], exchange: [exchange.jwk] }, [
      signing.privateKey,
    ]);
    const answer = buildEnrolAnswer(this.identity, body, { machine, name: "nas", latch, advertisement });
    return { status: 200, contentType: "application/jose+json", body: answer };
  }
}

const pair = () => {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return { privateKey, jwk: exportPublicJwk(publicKey) as EcPublicJwk };
};
const refusal = (status: number, error: string): HttpResponse => ({
  status,
  contentType: "application/json",
  body: Buffer.from(JSON.stringify({ error })),
});

/** What bind does with a new latch: its token is durable, then the nonce is forgotten. */
async function bind(machine: Machine, server: Server, tokens: string[]): Promise<void> {
  const { latchUrl } = await enrolMachine(machine, STATE, server.invite, VOLUME, limits);
  if (!tokens.includes(latchUrl)) tokens.push(latchUrl);
  await forgetNonce(machine, STATE, VOLUME);
}

test("a machine enrols: what is kept is durable before it is used, and private", async () => {
  const server = new Server();
  const machine = new Machine(server.answer);
  const latch = await enrolMachine(machine, STATE, server.invite, VOLUME, limits);
  const { thumbprint } = server.invite;
  assert.deepEqual(machine.steps, [
    `folder ${STATE} 700`,
    `write ${STATE}/identity.key`,
    `folder ${STATE} 700`,
    `write ${STATE}/pending-${VOLUME}.json`,
    "request /enroll",
    `write ${STATE}/server-${thumbprint}.json`,
  ]);
  assert.deepEqual(new Set(machine.modes.values()), new Set([0o600]));
  assert.equal(latch.latchUrl, `http://keys.example:7000/latch/${[...server.latches.values()][0]}`);
  assert.equal(latch.name, "nas");
  assert.equal(latch.advertisement.exchangeKeys.length, 1);

  const der = machine.files.get(`${STATE}/identity.key`) ?? assert.fail();
  const identity = createPrivateKey({ key: der, format: "der", type: "pkcs8" });
  assert.equal(identity.asymmetricKeyType, "ed25519");
  assert.equal(identityThumbprint(identity), latch.machine);
  assert.equal(identityThumbprint((await readIdentity(machine, STATE)) ?? assert.fail()), latch.machine);
  assert.deepEqual(await listServers(machine, STATE), [
    { url: server.invite.url, thumbprint, machine: latch.machine, name: "nas" },
  ]);
});

test("the power may go at any step: the next run gets the same latch, and one latch is all that there ever is", async () => {
  const reference = new Server();
  const uncut = new Machine(reference.answer);
  await bind(uncut, reference, []);
  assert.equal(uncut.steps.length, 7);
  for (let step = 0; step < uncut.steps.length; step++) {
    for (const when of ["before", "after"] as const) {
      const server = new Server();
      const machine = new Machine(server.answer);
      const tokens: string[] = [];
      machine.cutAt = { step, when };
      await assert.rejects(bind(machine, server, tokens), PowerCut);
      machine.cutAt = null;
      const forgotten = uncut.steps[step]?.startsWith("remove") === true && when === "after";
      await bind(machine, server, tokens);
      // Everything was done when the power went: to run it again is to bind again.
      assert.equal(tokens.length, forgotten ? 2 : 1, `${step} ${when}`);
      assert.equal(server.latches.size, forgotten ? 2 : 1, `${step} ${when}`);
      assert.ok(!machine.files.has(`${STATE}/pending-${VOLUME}.json`));
    }
  }
});

test("another invite begins anew; the identity stays", async () => {
  const [one, two] = [new Server(), new Server("https://other.example/keys")];
  const machine = new Machine((request) => (request.url.startsWith(one.invite.url) ? one : two).answer(request));
  const first = await enrolMachine(machine, STATE, one.invite, VOLUME, limits);
  const second = await enrolMachine(machine, STATE, two.invite, VOLUME, limits);
  assert.equal(first.machine, second.machine);
  assert.notEqual(one.usedBy?.nonce, two.usedBy?.nonce);
  assert.equal((await listServers(machine, STATE)).length, 2);
});

test("an enrolled machine gets another latch without an invite, once per binding", async () => {
  const server = new Server();
  const machine = new Machine(server.answer);
  await bind(machine, server, []);
  const first = await anotherLatch(machine, STATE, { volume: "data" }, limits);
  assert.deepEqual((await anotherLatch(machine, STATE, { volume: "data" }, limits)).latchUrl, first.latchUrl);
  assert.notEqual((await anotherLatch(machine, STATE, { volume: "other" }, limits)).latchUrl, first.latchUrl);
  await forgetNonce(machine, STATE, "data");
  assert.notEqual((await anotherLatch(machine, STATE, { volume: "data" }, limits)).latchUrl, first.latchUrl);
});

test("a request with an invite that was cut short is finished without it", async () => {
  const server = new Server();
  const machine = new Machine(server.answer);
  const { latchUrl } = await enrolMachine(machine, STATE, server.invite, VOLUME, limits);
  assert.equal((await anotherLatch(machine, STATE, { volume: VOLUME }, limits)).latchUrl, latchUrl);
});

test("the invite that a machine has used serves it for its next volumes too, and nobody else", async () => {
  const server = new Server();
  const machine = new Machine(server.answer);
  await bind(machine, server, []);
  const second = await enrolMachine(machine, STATE, server.invite, "data", limits);
  assert.equal(server.latches.size, 2);
  assert.equal((await enrolMachine(machine, STATE, server.invite, "data", limits)).latchUrl, second.latchUrl);
  assert.deepEqual(
    machine.steps.filter((step) => step.startsWith("request")).map((step) => step.split("/").at(-1)),
    ["enroll", "enroll", "enroll"],
  );
  await assert.rejects(enrolMachine(new Machine(server.answer), STATE, server.invite, VOLUME, limits), {
    code: "invite/used",
    message: "keys.example:7000 says that the invite was used already",
  });
});

test("a machine that is enrolled asks without an invite that another machine has used", async () => {
  const server = new Server();
  const machine = new Machine(server.answer);
  await bind(machine, server, []);
  server.usedBy = { machine: "another", nonce: "" };
  const { latchUrl } = await enrolMachine(machine, STATE, server.invite, "data", limits);
  assert.equal(machine.steps.at(-2)?.split("/").at(-1), "latch");
  assert.equal((await enrolMachine(machine, STATE, server.invite, "data", limits)).latchUrl, latchUrl);
});

for (const way of ["with its invite", "without an invite"] as const) {
  test(`a run was cut short and its latch revoked meanwhile: the next one, ${way}, gets another`, async () => {
    const server = new Server();
    const machine = new Machine(server.answer);
    const again = () =>
      way === "with its invite"
        ? enrolMachine(machine, STATE, server.invite, VOLUME, limits)
        : anotherLatch(machine, STATE, { volume: VOLUME }, limits);
    const first = await enrolMachine(machine, STATE, server.invite, VOLUME, limits);
    for (const latch of server.latches.values()) server.revoked.add(latch);
    // Where the answer never came, the machine does not even know that it is enrolled.
    if (way === "with its invite") machine.files.delete(`${STATE}/server-${server.invite.thumbprint}.json`);
    const second = await again();
    assert.notEqual(second.latchUrl, first.latchUrl);
    assert.equal((await again()).latchUrl, second.latchUrl, "the new nonce is kept");
    assert.equal(server.latches.size, 2);
  });
}

test("a server that revokes whatever it makes is asked twice, no more", async () => {
  const server = new Server();
  server.refuse = refusal(410, "latch/revoked");
  const machine = new Machine(server.answer);
  await assert.rejects(enrolMachine(machine, STATE, server.invite, VOLUME, limits), {
    code: "latch/revoked",
    message: "keys.example:7000 has revoked the latch that it made for this volume",
  });
  assert.equal(machine.steps.filter((step) => step.startsWith("request")).length, 2);
});

test("a machine that is not enrolled cannot ask; one of two servers must be named", async () => {
  const server = new Server();
  const machine = new Machine(server.answer);
  await assert.rejects(anotherLatch(machine, STATE, { volume: VOLUME }, limits), {
    code: "machine/not-enrolled",
    message: "this machine is not enrolled at a server",
  });
  assert.deepEqual(machine.steps, [], "nothing was made and nobody was asked");
  await bind(machine, server, []);
  const other = new Server("http://other.example");
  const both = new Machine((request) => (request.url.startsWith(other.invite.url) ? other : server).answer(request));
  for (const [path, bytes] of machine.files) both.files.set(path, bytes);
  await bind(both, other, []);
  await assert.rejects(anotherLatch(both, STATE, { volume: "data" }, limits), { code: "usage/wrong" });
  const chosen = await anotherLatch(both, STATE, { volume: "data", server: other.invite.thumbprint }, limits);
  assert.match(chosen.latchUrl, /^http:\/\/other\.example\/latch\//);
});

test("another server that answers is not believed, and nothing of it is kept", async () => {
  const [server, impostor] = [new Server(), new Server()];
  const machine = new Machine((request) => {
    const { body } = server.answer(request);
    const { machine: id } = parseEnrolRequest(Buffer.from(bodyOf(request) ?? []));
    const advertisement = buildAdvertisement({ signing: [pair().jwk], exchange: [pair().jwk] }, [pair().privateKey]);
    const latch = "A".repeat(22);
    const forged = buildEnrolAnswer(impostor.identity, bodyOf(request) ?? body, {
      machine: id,
      name: "nas",
      latch,
      advertisement,
    });
    return { status: 200, contentType: "application/jose+json", body: forged };
  });
  await assert.rejects(enrolMachine(machine, STATE, server.invite, VOLUME, limits), {
    code: "enrolment/untrusted",
    message: `the answer is signed by ${impostor.invite.thumbprint}, the invite names ${server.invite.thumbprint}`,
  });
  assert.ok(![...machine.files.keys()].some((path) => path.includes("server-")));
});

const REFUSALS = [
  [refusal(403, "invite/unknown"), "invite/unknown", "keys.example:7000 does not know the invite"],
  [refusal(409, "invite/used"), "invite/used", "keys.example:7000 says that the invite was used already"],
  [refusal(410, "invite/expired"), "invite/expired", "keys.example:7000 says that the invite has expired"],
  [refusal(403, "machine/locked"), "machine/locked", "keys.example:7000 has locked this machine"],
  [refusal(403, "machine/revoked"), "machine/revoked", "keys.example:7000 has revoked this machine for good"],
  [refusal(404, "machine/unknown"), "machine/unknown", "keys.example:7000 does not know this machine"],
  [refusal(400, "request/malformed"), "enrolment/refused", "keys.example:7000 refused (status 400, request/malformed)"],
  [refusal(403, "file/io"), "enrolment/refused", "keys.example:7000 refused (status 403, file/io)"],
  [refusal(403, "machine/full"), "machine/full", "keys.example:7000 gives this machine no more latches"],
  [refusal(403, "<script>/x"), "enrolment/refused", "keys.example:7000 refused (status 403)"],
  [refusal(503, "store/full"), "pin/busy", "keys.example:7000 cannot make a latch at the moment (status 503)"],
  [
    { status: 301, contentType: "", body: Buffer.alloc(0) },
    "enrolment/refused",
    "keys.example:7000 leads elsewhere (status 301), which is not followed",
  ],
] as const;

for (const [answer, code, message] of REFUSALS) {
  test(`a refusal is told as what it is: ${answer.status} ${code}`, async () => {
    const server = new Server();
    server.refuse = answer;
    const machine = new Machine(server.answer);
    await assert.rejects(enrolMachine(machine, STATE, server.invite, VOLUME, limits), { code, message });
  });
}

test("damaged state is told and not overwritten", async () => {
  const server = new Server();
  for (const name of ["identity.key", `pending-${VOLUME}.json`]) {
    const machine = new Machine(server.answer);
    machine.files.set(`${STATE}/${name}`, Buffer.from("\0\0\0"));
    await assert.rejects(enrolMachine(machine, STATE, server.invite, VOLUME, limits), (error: NightlatchError) => {
      assert.equal(error.code, "machine/bad-state");
      assert.ok(error.message.startsWith(`${STATE}/${name} `));
      return true;
    });
    assert.equal(machine.files.get(`${STATE}/${name}`)?.length, 3);
    assert.ok(!machine.steps.some((step) => step.startsWith("request")));
  }
  const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({ format: "der", type: "pkcs8" });
  const machine = new Machine(server.answer);
  machine.files.set(`${STATE}/identity.key`, rsa);
  await assert.rejects(enrolMachine(machine, STATE, server.invite, VOLUME, limits), {
    code: "machine/bad-state",
    message: `${STATE}/identity.key is not an Ed25519 private key`,
  });
});

test("a volume's id cannot lead out of the state folder", async () => {
  const server = new Server();
  const machine = new Machine(server.answer);
  for (const volume of ["../../etc/passwd", "", "a".repeat(65), "a b"]) {
    await assert.rejects(enrolMachine(machine, STATE, server.invite, volume, limits), { code: "enrolment/malformed" });
  }
  assert.ok(!machine.steps.some((step) => step.includes("pending")));
});
