// @ts-nocheck
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { aliveMatrix } from "../../../support/server/alive-matrix.ts";
import { approvalMatrix } from "../../../support/server/approval-matrix.ts";
import { policyMatrix } from "../../../support/server/policy-matrix.ts";
import { siteMatrix } from "../../../support/server/site-matrix.ts";

test("the matrices of docs/policy.md are what the policy answers", () => {
  const page = readFileSync(new URL("../../../../docs/policy.md", import.meta.url), "utf8");
  const [, told] = /<!-- matrix -->\n(.*?)\n<!-- end -->/s.exec(page) ?? [];
  assert.equal(told, policyMatrix());
  const [, approvals] = /<!-- approvals -->\n(.*?)\n<!-- end -->/s.exec(page) ?? [];
  assert.equal(approvals, approvalMatrix());
});

test("the matrix of alive on the same page is what the policy answers", () => {
  const page = readFileSync(new URL("../../../../docs/policy.md", import.meta.url), "utf8");
  const [, told] = /<!-- matrix of alive -->\n(.*?)\n<!-- end of alive -->/s.exec(page) ?? [];
  assert.equal(told, aliveMatrix());
});

test("the matrix of sites on the same page is what the policy answers", () => {
  const page = readFileSync(new URL("../../../../docs/policy.md", import.meta.url), "utf8");
  const [, told] = /<!-- matrix of sites -->\n(.*?)\n<!-- end of sites -->/s.exec(page) ?? [];
  assert.equal(told, siteMatrix());
});
