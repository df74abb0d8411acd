// @ts-nocheck
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { importsIn, SRC } from "../../support/imports.ts";

/** Which parts a part may import, beside itself, core and formats. `null`: anything. */
const ALLOWED: Readonly<Record<string, readonly string[] | null>> = {
  core: [],
  formats: [],
  system: [],
  host: ["system"],
  luks: ["system"],
  pins: ["system"],
  bindings: ["system", "luks", "pins"],
  agent: ["system", "host", "luks", "pins", "bindings"],
  boot: ["system", "host"],
  check: ["system", "host", "luks", "pins", "bindings", "boot"],
  reboot: ["system", "host", "luks", "pins", "bindings", "boot", "check"],
  setup: ["system", "host", "luks", "pins", "bindings", "boot", "check"],
  server: ["system"],
  cli: null,
  entry: null,
};

/** The part a file belongs to; files directly under src are entry points. */
const partOf = (file: string): string => (file.includes("/") ? String(file.split("/")[0]) : "entry");

test("every part imports only the parts that its place allows", () => {
  const wrong = importsIn(SRC).filter(({ from, to }) => {
    const [source, target] = [partOf(from), partOf(to)];
    if (source === target || target === "core") return false;
    if (source === "core") return true;
    if (target === "formats") return false;
    const allowed = ALLOWED[source];
    return allowed !== null && !allowed?.includes(target);
  });
  assert.deepEqual(wrong, []);
});

test("only the entry points name the real system", () => {
  const wrong = importsIn(SRC).filter(({ from, to }) => to === "system/node.ts" && partOf(from) !== "entry");
  assert.deepEqual(wrong, []);
});

test("formats are pure: no file system, process or network", () => {
  const impure = /from "node:(?!crypto"|util"|buffer")/;
  const wrong = readdirSync(join(SRC, "formats"), { recursive: true, encoding: "utf8" }).filter(
    (file) => file.endsWith(".ts") && impure.test(readFileSync(join(SRC, "formats", file), "utf8")),
  );
  assert.deepEqual(wrong, []);
});

test("no import leads in a circle", () => {
  const edges = new Map<string, string[]>();
  for (const { from, to } of importsIn(SRC)) edges.set(from, [...(edges.get(from) ?? []), to]);
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]): void => {
    assert.ok(!path.includes(file), `circle: ${[...path, file].join(" → ")}`);
    if (done.has(file)) return;
    for (const next of edges.get(file) ?? []) visit(next, [...path, file]);
    done.add(file);
  };
  for (const file of edges.keys()) visit(file, []);
});
