// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { redirectOf } from "../../../src/pins/redirect.ts";

const URL_OF = "http://keys.example.org:7654/latch/x/rec/y";
const answer = (status: number, location?: string) => ({
  status,
  contentType: "",
  body: Buffer.alloc(0),
  ...(location === undefined ? {} : { location }),
});

test("an answer that leads elsewhere says where to, and what to do", () => {
  const told = redirectOf(URL_OF, answer(301, "https://keys.example.org/latch/x/rec/y?a=b"));
  assert.equal(told?.code, "pin/bad-reply");
  assert.equal(
    told.message,
    "keys.example.org:7654 leads to https://keys.example.org (status 301), which is not followed",
  );
  assert.match(String(told.remedy), /bind to its address there/);
  assert.match(String(redirectOf(URL_OF, answer(308, "/elsewhere"))?.remedy), /curl -sI/);
  assert.match(String(redirectOf(URL_OF, answer(302))?.message), /leads elsewhere/);
});

test("another status is no redirect, wherever it says to go", () => {
  for (const status of [200, 204, 300, 304, 403, 404, 503]) {
    assert.equal(redirectOf(URL_OF, answer(status, "http://elsewhere/")), null);
  }
});

test("whatever the location, neither its path nor its credentials are told, and nothing that disturbs a terminal", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: "binary" }),
      fc.constantFrom("http://", "//", "javascript:", "https://u:SECRET@h/"),
      (text, start) => {
        const told = redirectOf(URL_OF, answer(302, `${start}${text}/SECRET`));
        assert.ok(told !== null);
        assert.doesNotMatch(`${told.message} ${told.remedy}`, /SECRET|[^ -~]/);
      },
    ),
  );
});
