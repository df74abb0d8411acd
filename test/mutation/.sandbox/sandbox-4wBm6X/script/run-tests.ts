/**
 * Runs test files and ends with `N passed, N failed, N skipped`; every skipped test is listed with
 * its reason.
 * usage: node script/run-tests.ts [--parallel N] FILE...
 */
// @ts-nocheck

import { resolve } from "node:path";
import { run } from "node:test";
import { spec } from "node:test/reporters";
import { parseArgs } from "node:util";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { parallel: { type: "string", default: "2" } },
});

const count = { passed: 0, failed: 0, skipped: 0 };
const skipped: string[] = [];
const failed: string[] = [];

interface Outcome {
  readonly name: string;
  readonly file?: string | undefined;
  readonly skip?: string | boolean | undefined;
  readonly details: { readonly type?: string | undefined };
}

// A suite and a file are containers, not tests: their tests were counted. One that fails by itself
// (a throw at load) counts.
const isContainer = (outcome: Outcome): boolean => outcome.details.type === "suite" || outcome.details.type === "file";

// A file that hangs is a failure, not a run that never ends. A guest's own waits are shorter; one
// that boots a dozen times beside another needs more than half an hour.
const FILE_TIMEOUT_MS = (process.env["NIGHTLATCH_TEST_FULL"] ? 90 : 30) * 60_000;
// Each file is a process, which would compile the same sources again.
process.env["NODE_COMPILE_CACHE"] ??= resolve(import.meta.dirname, "..", "node_modules", ".cache", "compiled");
const stream = run({
  files: positionals.map((file) => resolve(file)),
  concurrency: Number(values.parallel),
  timeout: FILE_TIMEOUT_MS,
});
stream.on("test:pass", (outcome: Outcome) => {
  if (outcome.skip !== undefined && outcome.skip !== false) {
    count.skipped++;
    skipped.push(`${outcome.name}: ${String(outcome.skip)}`);
  } else if (!isContainer(outcome)) count.passed++;
});
stream.on("test:fail", (outcome: Outcome) => {
  if (outcome.details.type === "suite") return;
  count.failed++;
  failed.push(`${outcome.name} (${outcome.file ?? "?"})`);
});
stream.compose(new spec()).pipe(process.stdout);
stream.on("end", () => {
  setImmediate(() => {
    const lines = [
      ...skipped.map((line) => `skipped: ${line}`),
      ...failed.map((line) => `failed: ${line}`),
      `${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped`,
    ];
    process.stdout.write(`\n${lines.join("\n")}\n`, () => {
      process.exit(count.failed > 0 || count.passed === 0 ? 1 : 0);
    });
  });
});
