// @ts-nocheck
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: GRUB writes its variables so
import assert from "node:assert/strict";
import { Session } from "node:inspector/promises";
import { test } from "node:test";
import fc from "fast-check";
import { isError } from "../../../../src/core/errors.ts";
import { MAX_WORK } from "../../../../src/formats/grub/budget.ts";
import { choose } from "../../../../src/formats/grub/default-entry.ts";
import { runGrub } from "../../../../src/formats/grub/menu.ts";
import { GrubTrace, type GrubWorld } from "../../../../src/formats/grub/world.ts";

const world: GrubWorld = {
  prefix: "/boot/grub",
  platform: "pc",
  environment: new Map([["a", "x y ".repeat(200)]]),
  files: new Map(),
  blsEntries: [],
};
const LIMIT = 1 << 20;
const isFull = Boolean(process.env["NIGHTLATCH_TEST_FULL"]);

/**
 * How often any piece of the product's own code ran: what a run costs, the same on every machine.
 */
async function steps(run: () => void): Promise<number> {
  const session = new Session();
  session.connect();
  await session.post("Profiler.enable");
  await session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
  run();
  const { result } = await session.post("Profiler.takePreciseCoverage");
  await session.post("Profiler.stopPreciseCoverage");
  session.disconnect();
  const own = result.filter(({ url }) => url.includes("/src/formats/grub"));
  return own.reduce(
    (sum, { functions }) =>
      sum + functions.reduce((all, { ranges }) => all + ranges.reduce((n, { count }) => n + count, 0), 0),
    0,
  );
}

/** Runs it, with whatever it would boot. Returns what it counted as its work. */
function evaluate(text: string): number {
  const trace = new GrubTrace();
  try {
    const { menu } = runGrub(text.slice(0, LIMIT), world, trace);
    for (const entry of menu.entries.slice(0, 20)) void entry.linux;
    void choose(menu, menu.default)?.entry.source;
  } catch (error) {
    assert.ok(isError(error, "grub/malformed") || isError(error, "grub/unknown"), String(error));
  }
  return trace.work;
}

/** One piece over and over, up to the length that is read at all. */
const repeated = (piece: string, before = "", after = ""): string =>
  before + piece.repeat(Math.max(1, Math.floor((LIMIT - before.length - after.length - 1) / piece.length))) + after;

const PIECES = [
  ...[
    "a",
    " ",
    "\n",
    ";",
    "{",
    "}",
    "(",
    ")",
    "[ ",
    "] ",
    "! ",
    "$a",
    '"$a"',
    "'",
    '"',
    "\\",
    "\\\n",
    "#",
    "|",
    "$",
    "=",
    "*",
  ],
  ...[
    "if ",
    "then ",
    "else ",
    "fi\n",
    "for x in ",
    "while ",
    "do ",
    "done\n",
    "function f {\n",
    "menuentry x ",
    "submenu x ",
    "set a=",
  ],
  ...[
    "-o ",
    "-a ",
    "-eq ",
    "1 ",
    "0x",
    "x ",
    "f ",
    "eval ",
    "regexp ",
    "'(a*)*' ",
    "load_env\n",
    "save_env a\n",
    "true\n",
    "linux /v $a\n",
  ],
  ...[
    "${a",
    "${a}",
    "set a=$a$a\n",
    "export a\n",
    "setparams $@ $a\n",
    "break\n",
    "continue 9\n",
    "unset a\n",
    '$"x"',
    "--id ",
    ". /x\n",
  ],
];

test("nothing that a configuration can say costs more than its budget, in steps of our own code", async (t) => {
  let most = 0;
  let inputs = 0;
  const check = async (text: string) => {
    let work = 0;
    const taken = await steps(() => {
      work = evaluate(text);
    });
    inputs++;
    most = Math.max(most, taken);
    // What one command or one character costs may go beyond the limit at which it is seen.
    assert.ok(work <= MAX_WORK + 2 * LIMIT, `${work} units of work`);
    assert.ok(taken <= 2 * MAX_WORK, `${taken} steps for ${JSON.stringify(text.slice(0, 60))}`);
  };
  for (const text of [
    repeated("( ", "[ "),
    repeated("! ", "[ "),
    repeated("a -o ", "[ "),
    repeated("$x", `set x="${"a ".repeat(60_000)}"\nfoo `),
    `while true; do set a=${"b".repeat(60_000)}; done`,
    `${repeated("x ", "for a in ", "").slice(0, 400_000)}; do for b in ${"y ".repeat(200_000)}; do true; done; done`,
    repeated("menuentry a {\nset b=1\n}\n"),
    repeated("submenu a {\n"),
    repeated('set a="$a$a"\n'),
    `regexp '${"(a*)".repeat(100)}b' '${"a".repeat(50_000)}'`,
    `regexp '${"(a|aa)+".repeat(50)}$' '${"a".repeat(50_000)}b'`,
    repeated("'", "set a="),
    `${repeated("v1=x;").slice(0, 500_000)}\nsubmenu a {\n true\n}`,
    `function f {\n${repeated("true;").slice(0, 500_000)}\n}\nwhile true; do f; done`,
  ])
    await check(text);
  const piece = fc.constantFrom(...PIECES);
  const text = fc
    .tuple(
      fc.array(piece, { maxLength: 5 }),
      fc.array(piece, { minLength: 1, maxLength: 4 }),
      fc.array(piece, { maxLength: 5 }),
    )
    .map(([before, over, after]) => repeated(over.join(""), before.join(""), after.join("")));
  for (const one of fc.sample(text, { numRuns: isFull ? 100 : 8, seed: isFull ? Date.now() : 7 })) await check(one);
  t.diagnostic(`${inputs} inputs of up to ${LIMIT} characters; the dearest took ${most} steps`);
});
