// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import { defaultUrl, parseListenAddress } from "../../../src/server/address.ts";
import { roleOf } from "../../../src/server/operator-api/roles.ts";

test("where to listen", () => {
  assert.deepEqual(parseListenAddress("[::]:7654"), { host: "::", port: 7654 });
  assert.deepEqual(parseListenAddress("127.0.0.1:0"), { host: "127.0.0.1", port: 0 });
  assert.deepEqual(parseListenAddress("keys.example.org:80"), { host: "keys.example.org", port: 80 });
  for (const wrong of [
    "",
    "7654",
    ":7654",
    "::1:7654",
    "[::1]",
    "host:",
    "host:65536",
    "host:-1",
    "host:1x",
    "[host]:1",
  ]) {
    assert.throws(() => parseListenAddress(wrong), { code: "usage/wrong" }, wrong);
  }
});

test("invites carry the address that is listened on; where it is every address, one that others can reach", () => {
  assert.equal(defaultUrl({ host: "192.0.2.1", port: 80 }), "http://192.0.2.1:80");
  assert.equal(defaultUrl({ host: "2001:db8::1", port: 7654 }), "http://[2001:db8::1]:7654");
  for (const host of ["::", "0.0.0.0"]) {
    const { hostname } = new URL(defaultUrl({ host, port: 7654 }));
    assert.ok(!["0.0.0.0", "[::]"].includes(hostname), hostname);
  }
});

test("root and the server's own user administer, members of the group operate, nobody else does anything", () => {
  const server = { uid: 500, operatorGroup: 600 };
  const peer = (uid: number, gid: number, groups: readonly number[] = []) => ({ uid, gid, groups });
  assert.equal(roleOf(peer(0, 0), server), "admin");
  assert.equal(roleOf(peer(500, 1), server), "admin");
  assert.equal(roleOf(peer(1000, 600), server), "operator");
  assert.equal(roleOf(peer(1000, 1000, [4, 600]), server), "operator");
  assert.equal(roleOf(peer(1000, 1000, [4]), server), null);
  assert.equal(roleOf(peer(1000, 600), { uid: 500, operatorGroup: null }), null);
  assert.equal(roleOf(null, server), null);
});
