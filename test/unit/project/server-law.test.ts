/** The floors of the server: every arrow between its folders runs down. */
import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { type Import, importsIn, SRC } from "../../support/imports.ts";

/** Which folders a folder may import beside itself, and which files of the top. */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  "address.ts": [],
  "clock.ts": [],
  "memory.ts": [],
  "network.ts": [],
  policy: [],
  exchange: ["clock.ts"],
  http: ["clock.ts", "network.ts"],
  "audit/entries": ["policy"],
  "audit/replay": ["policy"],
  audit: ["audit/entries", "audit/replay", "memory.ts"],
  store: ["audit", "policy"],
  "store/keys": [],
  "store/sqlite": ["store", "audit", "audit/replay", "policy"],
  "store/folder": ["store", "store/keys", "store/sqlite", "audit"],
  "service/memory": ["memory.ts", "policy"],
  service: [
    "service/memory",
    "store",
    "store/keys",
    "store/folder",
    "audit",
    "policy",
    "exchange",
    "clock.ts",
    "memory.ts",
  ],
  "service/alive": ["service", "service/memory", "store", "audit", "policy", "clock.ts"],
  "service/log": ["service", "store", "audit", "policy"],
  "service/policies": ["service", "service/alive", "service/memory", "store", "audit", "policy", "network.ts"],
  "service/latches": [
    "service",
    "service/alive",
    "service/log",
    "service/memory",
    "service/policies",
    "store",
    "audit",
    "policy",
    "exchange",
  ],
  "machine-api": ["http", "service", "service/alive", "service/latches", "service/log"],
  "operator-api": [
    "http",
    "service",
    "service/latches",
    "service/log",
    "service/policies",
    "store",
    "store/folder",
    "audit",
    "policy",
  ],
  webhook: ["service/memory"],
  witness: ["clock.ts", "service", "service/log"],
  "housekeeping.ts": ["clock.ts", "service", "service/alive", "service/latches", "service/log", "service/policies"],
  "serve.ts": [
    "address.ts",
    "clock.ts",
    "housekeeping.ts",
    "http",
    "machine-api",
    "operator-api",
    "service",
    "service/alive",
    "store/folder",
    "webhook",
    "witness",
  ],
};

/** The folder that a file lies in; a file of the top stands for itself. */
const placeOf = (file: string): string => (dirname(file) === "." ? file : dirname(file));

function againstTheLaw(imports: readonly Import[]): Import[] {
  return imports.filter(({ from, to }) => {
    const [source, target] = [placeOf(from), placeOf(to)];
    const isOutside = to.startsWith("../");
    return !isOutside && source !== target && ALLOWED[source]?.includes(target) !== true;
  });
}

const imports = importsIn(join(SRC, "server"));

test("every folder of the server imports only those beneath it", () => {
  assert.deepEqual(againstTheLaw(imports), []);
});

test("an arrow that runs back up is found, and so is a folder that the law does not know", () => {
  const wrong = [
    { from: "audit/log.ts", to: "store/port.ts" },
    { from: "store/sqlite/transaction.ts", to: "service/queue.ts" },
    { from: "http/server.ts", to: "machine-api/perform.ts" },
    { from: "memory.ts", to: "store/port.ts" },
    { from: "policy/decide.ts", to: "audit/entry.ts" },
    { from: "quorum/vote.ts", to: "policy/decide.ts" },
  ];
  assert.deepEqual(againstTheLaw([...imports, ...wrong]), wrong);
});

test("what the law allows leads down: no folder is beneath itself", () => {
  const visit = (place: string, path: readonly string[]): void => {
    assert.ok(!path.includes(place), [...path, place].join(" → "));
    for (const next of ALLOWED[place] ?? []) visit(next, [...path, place]);
  };
  for (const place of Object.keys(ALLOWED)) visit(place, []);
});

test("the law names nothing that is not there, and allows nothing that nobody uses", () => {
  const used = new Set(imports.map(({ from, to }) => `${placeOf(from)} → ${placeOf(to)}`));
  for (const [place, targets] of Object.entries(ALLOWED)) {
    for (const target of targets) assert.ok(used.has(`${place} → ${target}`), `${place} → ${target}`);
  }
});
