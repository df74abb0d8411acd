// @ts-nocheck
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { inspect } from "node:util";
import fc from "fast-check";
import { NightlatchError } from "../../../../src/core/errors.ts";
import { Secret } from "../../../../src/core/secret.ts";
import { formatInvite, type Invite, isBaseAddress, parseInvite } from "../../../../src/formats/own/invite.ts";

const key = randomBytes(32);
const invite: Invite = {
  url: "https://keys.example:8443/nl",
  id: randomBytes(16).toString("base64url"),
  key: Secret.copy(key),
  thumbprint: randomBytes(32).toString("base64url"),
};
const line = formatInvite(invite);

test("an invite survives its line, white space around it included", () => {
  assert.match(line, /^nli1\.[\w-]+$/);
  const parsed = parseInvite(`  ${line}\r\n`);
  assert.deepEqual({ ...parsed, key: null }, { ...invite, key: null });
  assert.deepEqual(parsed.key.reveal(), key);
  assert.doesNotMatch(inspect(parsed) + JSON.stringify(parsed), new RegExp(key.toString("base64url")));
});

const json = { url: invite.url, id: invite.id, key: key.toString("base64url"), thp: invite.thumbprint };
const lineOf = (value: unknown) =>
  `nli1.${Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url")}`;

const WRONG: readonly (readonly [string, string, RegExp])[] = [
  ["empty", "", /does not begin with nli1\.$/],
  ["of another version", line.replace("nli1", "nli2"), /does not begin with nli1\.$/],
  ["cut short", line.slice(0, -9), /is damaged/],
  ["padded", `${line}=`, /is damaged/],
  ["broken by a space", `${line.slice(0, 40)} ${line.slice(40)}`, /is damaged/],
  ["too long", `nli1.${"A".repeat(2000)}`, /is too long$/],
  ["a list", lineOf("[]"), /is not an object$/],
  ["with a member too many", lineOf({ ...json, x: 1 }), /other members/],
  ["with a name twice", lineOf('{"url":"a","url":"b"}'), /is damaged/],
  ["without a thumbprint", lineOf({ url: json.url, id: json.id, key: json.key }), /other members/],
  ["with a short key", lineOf({ ...json, key: "AAAA" }), /key is damaged$/],
  ["with a short id", lineOf({ ...json, id: "AAAA" }), /id is damaged$/],
  ["with a short thumbprint", lineOf({ ...json, thp: "AAAA" }), /thumbprint is damaged$/],
  ["with a file's address", lineOf({ ...json, url: "file:///x" }), /address is not one of a server$/],
];

for (const [name, text, message] of WRONG) {
  test(`an invite is refused: ${name}`, () => {
    assert.throws(
      () => parseInvite(text),
      (error: NightlatchError) => {
        assert.equal(error.code, "invite/malformed");
        assert.match(error.message, message);
        assert.equal(error.meaning, "Nothing was sent and nothing was changed.");
        assert.equal(error.cause, undefined);
        return true;
      },
    );
  });
}

test("a base address", () => {
  const good = ["http://a", "https://a.example:8443", "http://[::1]:7000", "http://10.0.0.1/x/y", "http://a/x%20y"];
  const bad = [
    ...["http://a/", "http://", "ftp://a", "a", "HTTP://a", "http://a?b", "http://a/#b", "http://u@a", "http://u:p@a"],
    ...[
      "http://a b",
      "http://a\n",
      "http://a\\b",
      "http://ü",
      "http://[::",
      `http://${"a".repeat(600)}`,
      "http:///a",
      "http://a:99999",
    ],
  ];
  for (const url of good) assert.ok(isBaseAddress(url), url);
  for (const url of bad) assert.ok(!isBaseAddress(url), url);
});

test("whatever is pasted, it is an invite or an error that quotes nothing of it", () => {
  const mutated = fc
    .tuple(fc.nat(line.length - 1), fc.constantFrom(..."Aa0-_.= "))
    .map(([at, c]) => line.slice(0, at) + c + line.slice(at + 1));
  fc.assert(
    fc.property(fc.oneof(fc.string(), mutated, fc.json().map(lineOf)), (text) => {
      try {
        parseInvite(text);
      } catch (error) {
        assert.ok(error instanceof NightlatchError && error.code === "invite/malformed", String(error));
        const body = text.trim().replace(/^nli1\./, "");
        assert.ok(body.length < 12 || !(error.stack ?? "").includes(body.slice(0, 12)));
      }
    }),
    { numRuns: 1000 },
  );
});
