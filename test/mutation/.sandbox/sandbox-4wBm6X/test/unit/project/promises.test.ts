// @ts-nocheck
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { findPromises } from "../../../script/promises.ts";

const folder = mkdtempSync(join(tmpdir(), "nightlatch-promises-"));
after(() => rmSync(folder, { recursive: true }));

const GIVEN = `
declare function work(): Promise<number>;
declare function maybe(): Promise<number> | undefined;
declare function later(): PromiseLike<number>;
declare function hear(listener: (text: string) => void): void;
declare function listen(listener: (text: string) => void | Promise<void>): void;
declare const held: { use(): Promise<number> } & AsyncDisposable & Disposable;
`;

/**
 * What is found in each function, by the comment at its line's end; no comment stands for nothing.
 */
const CASES = `
export async function a() { work(); } // floating
export async function b() { maybe(); } // floating
export async function c() { later(); } // floating
export async function d() { work().then(() => 1); } // floating
export async function e(x: boolean) { x && work(); } // floating
export async function f(x: boolean) { x ? work() : 1; } // floating
export async function g() { (async () => {})(); } // floating
export async function h() { await work(); }
export async function i() { void work(); }
export async function j() { work().then(() => 1, () => 2); work().catch(() => {}); }
export async function k() { let p; p = work(); await p; }
export async function l() { return work(); }
export async function m() { using x = held; return x.use(); } // unawaited
export async function n() { await using x = held; return x.use(); } // unawaited
export async function o() { await using x = held; return await x.use(); }
export async function p() { await using x = held; if (x) { return x.use(); } return 1; } // unawaited
export async function q() { { await using x = held; await x.use(); } return work(); }
export async function r() { await using x = held; return [1].map(() => { return work(); }); }
export async function s() { try { return work(); } catch { return 1; } } // unawaited
export async function t() { try { return await work(); } catch { return work(); } }
export async function u() { try { return 1; } catch { return work(); } finally { hear(() => {}); } } // unawaited
export async function v() { for (using x of [held]) { return x.use(); } return 1; } // unawaited
export async function w(y: boolean) { await using x = held; return y ? 1 : x.use(); } // unawaited
export function x() { hear(async () => {}); } // misused
export function y() { hear(() => work()); } // misused
export function z() { listen(async () => {}); hear(() => {}); }
`;

test("what nobody waits for is found by its type, and nothing else is", () => {
  writeFileSync(join(folder, "cases.ts"), GIVEN + CASES);
  const compilerOptions = {
    target: "es2024",
    lib: ["es2024", "esnext.disposable"],
    module: "nodenext",
    types: [],
    noEmit: true,
    strict: true,
  };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["cases.ts"] }));
  const wanted = (GIVEN + CASES)
    .split("\n")
    .map((line, index) => ({ line: index + 1, rule: / \/\/ (\w+)$/.exec(line)?.[1] }))
    .filter(({ rule }) => rule !== undefined);
  assert.ok(wanted.length > 12);
  assert.deepEqual(
    findPromises(folder).map(({ line, rule }) => ({ line, rule })),
    wanted,
  );
});

test("a folder without a project is no clean one", () => {
  assert.throws(() => findPromises(join(folder, "nowhere")));
});
