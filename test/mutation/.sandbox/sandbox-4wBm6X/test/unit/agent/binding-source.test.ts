// @ts-nocheck
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { bindingSources } from "../../../src/agent/binding-source.ts";
import { encryptJwe, type FlattenedJwe, formatCompactJwe, formatFlattenedJwe } from "../../../src/formats/jose/jwe.ts";
import type { JsonObject } from "../../../src/formats/json/json.ts";
import { parseAdvertisement } from "../../../src/formats/tang/tang.ts";
import type { VolumeHeader } from "../../../src/luks/header/header.ts";
import { sealToAdvertisement } from "../../../src/pins/tang/tang.ts";
import { NO_DEVICES } from "../../support/no-devices.ts";
import { clevisVectors } from "../../vectors/tangs.ts";

const power = { ...NO_DEVICES, request: () => assert.fail(), random: randomBytes };
const advertisement = parseAdvertisement(clevisVectors.servers[1]?.advertisement ?? null);
const tang = (url: string): FlattenedJwe => sealToAdvertisement(power, url, advertisement, Buffer.from("share"));

function sss(children: readonly FlattenedJwe[]): FlattenedJwe {
  const prime = Buffer.alloc(32, 0xff).toString("base64url");
  const clevis = { pin: "sss", sss: { t: 1, p: prime, jwe: children.map(formatCompactJwe) } };
  return encryptJwe({ alg: "dir", enc: "A256GCM", clevis }, Buffer.alloc(32), randomBytes(12), Buffer.from("secret"));
}

function named(jwes: readonly FlattenedJwe[]): { names: string[]; said: string[] } {
  const token = (jwe: FlattenedJwe): JsonObject => ({ type: "clevis", keyslots: ["1"], jwe: formatFlattenedJwe(jwe) });
  const header = { version: 2, keyslots: new Map([[1, {}]]), tokens: new Map(jwes.map((jwe, id) => [id, token(jwe)])) };
  const said: string[] = [];
  const sources = bindingSources(power, header as unknown as VolumeHeader, (text) => said.push(text));
  return { names: sources.map(({ name }) => name), said };
}

const server = tang("http://keys.example.org:7654");

test("a source is named by what it asks", () => {
  const { names, said } = named([server, sss([server, sss([server, server])])]);
  assert.deepEqual(names, [
    "token 0 (tang at keys.example.org:7654)",
    "token 1 (1 of [tang at keys.example.org:7654, 1 of 2])",
  ]);
  assert.deepEqual(said, []);
});

test("however many a header names, a line of the log stays one to read", () => {
  const long = tang(`http://${"a".repeat(200)}.example`);
  const { names } = named([sss(Array(64).fill(long))]);
  const host = `tang at ${"a".repeat(80)}…`;
  assert.deepEqual(names, [`token 0 (1 of [${Array(4).fill(host).join(", ")}, and 60 more])`]);
});

test("the bindings of a volume ask no more servers together than one alone may; what fits is asked", () => {
  const forty = sss(Array(40).fill(server));
  const { names, said } = named([forty, forty, server, sss([sss(Array(20).fill(server)), server]), forty, server]);
  assert.deepEqual(
    names.map((name) => name.split(" ")[1]),
    ["0", "2", "3", "5"],
  );
  assert.deepEqual(said, ["2 of 6 bindings are passed over: they ask more than 64 servers"]);
});

test("a damaged binding is asked nothing, but its failure is told", () => {
  const damaged = { ...server, protected: "%%" };
  const { names } = named([damaged, sss([damaged, server])]);
  assert.deepEqual(names, ["token 0 (damaged)", "token 1 (damaged)"]);
});
