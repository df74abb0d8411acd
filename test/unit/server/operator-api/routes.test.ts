import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { NightlatchError } from "../../../../src/core/errors.ts";
import { Answers } from "../../../../src/server/http/answers.ts";
import { type AdminContext, administer } from "../../../../src/server/operator-api/routes.ts";
import { enrolled, makeHome, type OpenService, openService } from "../../../support/server/harness.ts";

const contextOf = (service: OpenService): AdminContext => ({
  service,
  answers: new Answers(service.system),
  masterSource: "file",
  url: () => "http://127.0.0.1:7654",
});

function ask(
  context: AdminContext,
  method: string,
  path: string,
  body: unknown = "",
  role: "admin" | "operator" = "admin",
) {
  const bytes = Buffer.from(typeof body === "string" ? body : JSON.stringify(body));
  return administer(context, { method, segments: path.split("/"), body: bytes, role, uid: 1000 });
}

async function read(context: AdminContext, path: string): Promise<Record<string, unknown>> {
  return JSON.parse(String((await ask(context, "GET", path)).body)) as Record<string, unknown>;
}

test("an operator tightens a policy and opens a window; releasing at any time is root's to say", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  await enrolled(service, "nas");
  const context = contextOf(service);
  const post = async (path: string, body: unknown, role: "admin" | "operator" = "operator") =>
    JSON.parse(String((await ask(context, "POST", `machines/nas/${path}`, body, role)).body)) as {
      changed: boolean;
      machine: { policy: string; lease: { number: number } | null };
    };
  assert.equal((await post("policy", { policy: "lease" })).machine.policy, "lease");
  assert.equal((await post("policy", { policy: "lease" })).changed, false);
  assert.equal((await post("lease", { lifetimeMs: 900_000, graceMs: 0 })).machine.lease?.number, 1);
  await assert.rejects(post("policy", { policy: "always" }), { code: "admin/denied" });
  assert.equal((await post("policy", { policy: "always" }, "admin")).machine.lease, null);
  for (const [path, body] of [
    ["policy", { policy: "never" }],
    ["policy", { policy: "lease", by: 0 }],
    ["policy", { policy: "lease", from: 1 }],
    ["policy", { policy: "approval", of: "2" }],
    ["policy", "{"],
    ["policy", []],
    ["lease", { lifetimeMs: 900_000 }],
    ["lease", { lifetimeMs: "15m", graceMs: 0 }],
  ] as const) {
    await assert.rejects(post(path, body, "admin"), { code: "request/malformed" });
  }
});

test("fewer operators and wider limits are root's to say; who votes is told apart by user id", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  await enrolled(service, "hsm");
  const context = contextOf(service);
  const post = async (path: string, body: unknown, role: "admin" | "operator" = "operator") =>
    JSON.parse(String((await ask(context, "POST", path, body, role)).body)) as Record<string, unknown>;
  const policy = (body: object, role?: "admin") => post("machines/hsm/policy", body, role);
  const denied = { code: "admin/denied" };
  await policy({ policy: "approval", of: 2, timeoutMs: 600_000, from: "192.0.2.0/24" });
  await policy({ policy: "approval", of: 3, perDay: "3" });
  for (const body of [
    { policy: "approval", of: 2 },
    { policy: "lease" },
    { policy: "always" },
    { policy: "approval", of: 3, from: "any" },
    { policy: "approval", of: 3, perDay: "4" },
  ]) {
    await assert.rejects(policy(body), denied, JSON.stringify(body));
  }
  await policy({ policy: "approval", of: 2, from: "any" }, "admin");
  const voted = await post("requests/hsm@192.0.2.7/approve", "");
  assert.equal(voted["opened"], false);
  const [request] = (await read(context, "requests"))["requests"] as Record<string, unknown>[];
  assert.deepEqual(
    { ...request, id: "", created: "", expires: "" },
    {
      id: "",
      machine: "hsm",
      from: "192.0.2.7",
      state: "waiting",
      of: 2,
      approvedBy: [1000],
      created: "",
      expires: "",
      by: 1000,
      asked: 0,
      lastAsked: null,
    },
  );
  assert.equal((await post(`requests/${request?.["id"]}/approve`, ""))["changed"], false);
  const other = { method: "POST", segments: ["requests", String(request?.["id"]), "approve"], body: Buffer.alloc(0) };
  const second = await administer(context, { ...other, role: "operator", uid: 1001 });
  const { opened, machine } = JSON.parse(String(second.body)) as {
    opened: boolean;
    machine: { lease: { to: string } };
  };
  assert.deepEqual([opened, machine.lease.to], [true, "192.0.2.7"]);
  assert.deepEqual(await read(context, "requests"), { requests: [] });
});

test("what operators see: names, states and times, and never a key", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { machine, latch } = await enrolled(service, "nas");
  const context = contextOf(service);
  const invited = await ask(context, "POST", "invites", { name: "pi", lifetimeMs: 60_000 });
  assert.match(String(JSON.parse(String(invited.body)).invite), /^nli1\./);

  const listed = await read(context, "machines");
  assert.deepEqual(Object.keys((listed["machines"] as object[])[0] ?? {}), [
    "id",
    "name",
    "state",
    "epoch",
    "enrolled",
    "group",
    "gone",
    "policy",
    "policyOf",
    "approval",
    "limits",
    "timeoutMs",
    "lease",
    "lastHeard",
    "lastRelease",
  ]);
  assert.deepEqual(Object.keys((listed["invites"] as object[])[0] ?? {}), [
    "id",
    "name",
    "created",
    "expires",
    "expired",
    "group",
    "refused",
  ]);
  const shown = await read(context, "machines/nas");
  assert.equal((shown["machine"] as { id: string }).id, machine.id);
  const [first] = shown["latches"] as { id: string }[];
  assert.deepEqual(Object.keys(first ?? {}), [
    "id",
    "volume",
    "state",
    "epoch",
    "former",
    "created",
    "releasedInLease",
    "lastRelease",
    "lastRefusal",
  ]);
  assert.equal(first?.id, latch.latchId);
  assert.deepEqual(await read(context, `machines/${machine.id}`), shown);

  const status = await read(context, "status");
  assert.deepEqual(
    { ...status, store: "", identity: "" },
    {
      store: "",
      identity: "",
      url: "http://127.0.0.1:7654",
      master: "file",
      exchange: "openssl",
      machines: 1,
      entries: 4,
      failure: null,
    },
  );
});

test("an operator may stop releases but destroy nothing", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  const { latch } = await enrolled(service, "nas");
  const context = contextOf(service);
  for (const path of ["machines/nas/revoke", `latches/${latch.latchId}/revoke`]) {
    await assert.rejects(ask(context, "POST", path, "", "operator"), {
      code: "admin/denied",
      message: "revoking destroys keys and is root's",
    });
  }
  assert.equal((await ask(context, "POST", "machines/nas/lock", "", "operator")).status, 200);
  assert.equal((await ask(context, "POST", "machines/nas/revoke")).status, 200);
});

test("whatever is asked, the answer is one or an error with a code, and nothing is destroyed by chance", async () => {
  using home = makeHome();
  await using service = await openService(home.folder);
  await enrolled(service, "nas");
  const context = contextOf(service);
  const word = fc.oneof(
    fc.constantFrom(
      "machines",
      "latches",
      "invites",
      "audit",
      "status",
      "nas",
      "lock",
      "unlock",
      "entries",
      "checkpoints",
      "cosignatures",
      "witnesses",
      "remove",
      "tail",
      "after",
      "end",
      "void",
      "0",
      "",
    ),
    fc.string({ maxLength: 20 }),
  );
  const body = fc.oneof(
    fc.json(),
    fc.string(),
    fc.record({ name: fc.string(), lifetimeMs: fc.double() }).map((wish) => JSON.stringify(wish)),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom("GET", "POST", "PUT"),
      fc.array(word, { maxLength: 5 }),
      body,
      async (method, path, text) => {
        try {
          const reply = await administer(context, {
            method,
            segments: path,
            body: Buffer.from(text),
            role: "operator",
            uid: 1,
          });
          assert.equal(reply.status, 200);
        } catch (error) {
          assert.ok(error instanceof NightlatchError, String(error));
        }
      },
    ),
    { numRuns: process.env["NIGHTLATCH_TEST_FULL"] ? 5000 : 300 },
  );
  assert.notEqual(((await read(context, "machines/nas")) as { machine: { state: string } }).machine.state, "revoked");
});
