// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import { readPassedSockets } from "../../../../src/system/unix/listen-fds.ts";

test("sockets are taken only where they are meant for this very process", () => {
  assert.deepEqual(readPassedSockets({ LISTEN_PID: "7", LISTEN_FDS: "1" }, 7), { first: 3, count: 1 });
  assert.deepEqual(readPassedSockets({ LISTEN_PID: "7", LISTEN_FDS: "12" }, 7), { first: 3, count: 12 });
  assert.equal(readPassedSockets({ LISTEN_PID: "8", LISTEN_FDS: "1" }, 7), null);
  assert.equal(readPassedSockets({}, 7), null);
});

test("a count that is none counts as no socket", () => {
  for (const LISTEN_FDS of [undefined, "", "0", "-1", "1x", "9".repeat(10)]) {
    assert.deepEqual(readPassedSockets({ LISTEN_PID: "7", LISTEN_FDS }, 7), { first: 3, count: 0 }, String(LISTEN_FDS));
  }
});
