import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  buildHeardServers,
  buildPause,
  buildTrip,
  parseHeardServers,
  parsePause,
  parseTrip,
} from "../../../../src/formats/own/tether.ts";

const SERVERS = [
  { url: "http://one:7654", heardMs: 7, lockedMs: null, leaseMs: 9 },
  { url: "http://two:7654", heardMs: 8, lockedMs: 5, leaseMs: null },
];
const TRIP = { atMs: 9, cause: "locked", suspended: ["data"] } as const;

test("what was written is read", () => {
  assert.deepEqual(parseHeardServers(buildHeardServers(SERVERS)), SERVERS);
  assert.deepEqual(parseHeardServers(buildHeardServers([])), []);
  assert.deepEqual(parseTrip(buildTrip(TRIP)), TRIP);
  assert.equal(parsePause(buildPause(12)), 12);
});

test("what is damaged is nothing", () => {
  const row = '{"url":"http://one","heard":1,"locked":null,"lease":null}';
  for (const text of [
    "",
    "[]",
    '{"servers":{}}',
    `{"servers":[${row}],"more":1}`,
    `{"servers":[${row.replace("1", "-1")}]}`,
    `{"servers":[${row.replace("1", "1.5")}]}`,
    `{"servers":[${row.replace("null", "true")}]}`,
    `{"servers":[${row.replace("}", ',"more":1}')}]}`,
    `{"servers":[${row.replace(',"lease":null', "")}]}`,
    `{"servers":[${row.replace('"lease":null', '"lease":-1')}]}`,
    `{"servers":[${row.replace('"lease":null', '"lease":true')}]}`,
    `{"servers":[${Array.from({ length: 65 }, () => row).join()}]}`,
  ])
    assert.equal(parseHeardServers(Buffer.from(text)), null, text);
  for (const text of [
    '{"at":1,"cause":"gone"}',
    '{"at":1,"cause":"mood","suspended":[]}',
    '{"at":"1","cause":"gone","suspended":[]}',
    '{"at":1,"cause":"gone","suspended":[1]}',
  ])
    assert.equal(parseTrip(Buffer.from(text)), null, text);
  for (const text of ['{"until":"1"}', '{"until":-1}', "{}"]) assert.equal(parsePause(Buffer.from(text)), null, text);
});

test("no bytes make a reader throw", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      for (const parse of [parseHeardServers, parseTrip, parsePause]) assert.equal(parse(Buffer.from(bytes)), null);
    }),
  );
});
