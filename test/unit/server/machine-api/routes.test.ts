import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { findRoute } from "../../../../src/server/machine-api/routes.ts";

const ID = "ABEiM0RVZneImaq7zN3u_w";
const MACHINE = "A".repeat(43);

test("paths lead where they should, by the right method alone", () => {
  const routes: readonly (readonly [string, string, unknown])[] = [
    ["GET", `/latch/${ID}/adv`, { kind: "advertisement", latchId: ID, kid: null }],
    ["GET", `/latch/${ID}/adv/`, { kind: "advertisement", latchId: ID, kid: null }],
    ["GET", `/latch/${ID}//adv//`, { kind: "advertisement", latchId: ID, kid: null }],
    ["GET", `/latch/${ID}/adv/abc`, { kind: "advertisement", latchId: ID, kid: "abc" }],
    ["POST", `/latch/${ID}/rec/abc`, { kind: "recovery", latchId: ID, kid: "abc" }],
    ["POST", `//latch//${ID}//rec//abc`, { kind: "recovery", latchId: ID, kid: "abc" }],
    ["POST", "/enroll", { kind: "enrolment" }],
    ["POST", `/machine/${MACHINE}/latch`, { kind: "latch", machineId: MACHINE }],
    ["POST", `/machine/${MACHINE}/report`, { kind: "report", machineId: MACHINE }],
    ["GET", `/machine/${MACHINE}/lease`, { kind: "challenge", machineId: MACHINE }],
    ["POST", `/machine/${MACHINE}/lease`, { kind: "lease", machineId: MACHINE }],
    ["PUT", `/machine/${MACHINE}/lease`, 405],
    ["GET", `/machine/${MACHINE}/session`, { kind: "session-challenge", machineId: MACHINE }],
    ["POST", `/machine/${MACHINE}/session`, { kind: "session", machineId: MACHINE }],
    ["POST", "/alive", { kind: "heartbeat", asksLease: false }],
    ["POST", "/alive/lease", { kind: "heartbeat", asksLease: true }],
    ["GET", "/alive", 405],
    ["GET", "/alive/lease", 405],
    ["POST", "/alive/", 404],
    ["GET", `/machine/${MACHINE}/report`, 405],
    ["POST", `/machine/${MACHINE}/reports`, 404],
    ["GET", "/healthz", { kind: "health" }],
    ["HEAD", `/latch/${ID}/adv`, 405],
    ["POST", `/latch/${ID}/adv`, 405],
    ["GET", `/latch/${ID}/rec/abc`, 405],
    ["PUT", `/latch/${ID}/rec/abc`, 405],
    ["GET", "/enroll", 405],
    ["POST", "/witness/add-checkpoint", { kind: "submission" }],
    ["GET", "/witness/add-checkpoint", 405],
    ["POST", "/witness/add-checkpoint/", 404],
    ["POST", "/healthz", 405],
    ["POST", `/latch/${ID}/rec`, 404],
    ["POST", `/latch/${ID}/rec/`, 404],
    ["POST", `/latch/${ID}/rec/a/b`, 404],
    ["GET", `/latch/${ID}/adv?x=1`, 404],
    ["GET", `/latch/${ID}/adv/abc?`, 404],
    ["GET", `/latch/${ID}`, 404],
    ["GET", `/latch/${ID.slice(1)}/adv`, 404],
    ["GET", `/latch/${ID}x/adv`, 404],
    ["GET", "/adv", 404],
    ["GET", `/latch/${ID}/../adv`, 404],
    ["GET", `http://host/latch/${ID}/adv`, 404],
    ["POST", `/machine/${MACHINE}/latch/`, 404],
    ["GET", "/", 404],
    ["GET", "", 404],
  ];
  for (const [method, path, expected] of routes)
    assert.deepEqual(findRoute(method, path), expected, `${method} ${path}`);
});

test("no path makes the router throw or take long", () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 4096 }), (path) => {
      findRoute("GET", path);
      findRoute("POST", `/latch/${ID}/${path}`);
    }),
  );
  assert.equal(findRoute("GET", `${"/".repeat(4000)}latch`), 404);
});
