/** Has Debian's spin go through a model, or draw single runs of it. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Home } from "../support/server/harness.ts";

export const full = Boolean(process.env["NIGHTLATCH_TEST_FULL"]);

/** A model beside this file. */
export function modelOf(name: string): string {
  return join(import.meta.dirname, `${name}.pml`);
}

export interface Search {
  readonly errors: number;
  readonly states: number;
  readonly isWhole: boolean;
}

/** Has spin go through every order of events, until the first error. */
export function search(home: Home, name: string, defines: readonly string[], model: string): Search {
  const folder = join(home.path, name);
  mkdirSync(folder);
  const run = (program: string, ...words: string[]) =>
    execFileSync(program, words, { cwd: folder, encoding: "utf8", maxBuffer: 1 << 24 });
  run("spin", ...defines, "-a", model);
  run("gcc", full ? "-O2" : "-O0", "-w", "-DSAFETY", "-DVECTORSZ=2048", "-DMEMLIM=4096", "-o", "pan", "pan.c");
  const told = run("./pan", "-m100000", full ? "-w26" : "-w20");
  const errors = /errors: (\d+)/.exec(told)?.[1];
  const states = /([0-9.e+]+) states, stored/.exec(told)?.[1];
  assert.ok(errors !== undefined && states !== undefined, told);
  const isWhole = !/Search not completed|max search depth too small|out of memory/.test(told);
  return { errors: Number(errors), states: Number(states), isWhole };
}

/** What happens in one run that spin draws: the words of its lines that begin with OP. */
export function drawRun(seed: number, defines: readonly string[], model: string): string[][] {
  // Spin writes its preprocessed model, always by the same name, where it stands: each run stands
  // alone.
  const folder = mkdtempSync(join(tmpdir(), "nightlatch-spin-"));
  let told: string;
  try {
    told = execFileSync("spin", ["-T", `-n${seed}`, ...defines, model], { cwd: folder, encoding: "utf8" });
  } finally {
    rmSync(folder, { recursive: true });
  }
  return [...told.matchAll(/^ *OP (.*)$/gm)].map(([, words = ""]) => words.trim().split(" "));
}
