/**
 * Whatever goes wrong in a way that nobody expected is told like any failure: one JSON object, no
 * stack, nothing that the error says.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, test } from "node:test";
import { COMMANDS } from "../../../src/cli/registry.ts";
import { AGENT_MAIN, type Ended, MAIN, runEntry } from "../../support/entry-points.ts";
import { makeState } from "../../support/luks-change.ts";
import { nightlatch } from "../../support/serve.ts";
import { noTangd, startTangd } from "../../support/tangd.ts";
import { makeFolder, makeVolume, PASSPHRASE, runTool } from "../../support/volumes.ts";

const ROOT = resolve(import.meta.dirname, "../../..");
const folder = makeFolder();
const SAID = "SWORDFISH";

/** A command in the place of each, which ends in one way of those that nobody expects. */
const WAYS: Readonly<Record<string, string>> = {
  "throws at once": `throw new TypeError("${SAID}")`,
  "rejects later": `await new Promise((wake) => setTimeout(wake, 5)); throw new RangeError("${SAID}")`,
  "throws what is no error": `throw "${SAID}"`,
  "leaves a promise alone that fails": `Promise.reject(new TypeError("${SAID}")); await new Promise((wake) => setTimeout(wake, 500)); return 0`,
  "throws in a timer": `setTimeout(() => { throw new TypeError("${SAID}"); }, 5); await new Promise((wake) => setTimeout(wake, 500)); return 0`,
  "waits for what never comes": `await new Promise(() => {}); return 0`,
  "fails after its result": `terminal.result({ ok: true }); throw new TypeError("${SAID}")`,
};

function hookFor(way: string): string {
  const path = join(folder, `${way.replaceAll(/\W/g, "-")}.mjs`);
  const source = `export const command = { name: "x", summary: "", options: {}, maxOperands: 9, run: async ({ terminal }) => { ${WAYS[way]} } };`;
  writeFileSync(
    path,
    `import { registerHooks } from "node:module";
     import { COMMANDS } from ${JSON.stringify(join(ROOT, "src/cli/registry.ts"))};
     const paths = Object.values(COMMANDS).map((load) => "/src/cli/" + String(load).split('"./')[1].split('"')[0]);
     registerHooks({
       load: (url, context, next) =>
         paths.some((path) => url.endsWith(path))
           ? { format: "module", source: ${JSON.stringify(source)}, shortCircuit: true }
           : next(url, context),
     });`,
  );
  return path;
}

function assertTold({ status, signal, stdout, stderr }: Ended, what: string): void {
  assert.deepEqual({ status, signal }, { status: 1, signal: null }, `${what}: ${stderr}`);
  assert.match(stderr, /^nightlatch: internal error: .*\n {2}This is a defect in Nightlatch/m, what);
  assert.match(stderr, /Please report it/, what);
  assert.doesNotMatch(stderr + stdout, new RegExp(`${SAID}|^ {4}at `, "m"), what);
}

describe("an internal error", () => {
  for (const [index, way] of Object.keys(WAYS).entries()) {
    test(way, async () => {
      const hook = hookFor(way);
      const names = Object.keys(COMMANDS);
      // Every command meets one of the ways at least, and every way two commands.
      for (const name of [...names.filter((_, at) => at % Object.keys(WAYS).length === index), "status"]) {
        const ended = await runEntry(MAIN, [...name.split(" "), "--json"], { hook });
        assertTold(ended, name);
        const [line, ...rest] = ended.stdout.split("\n");
        assert.deepEqual(rest, [""], `${name}: one line`);
        const result = JSON.parse(line ?? "") as { ok: boolean; error?: { code: string; remedy: string } };
        if (way === "fails after its result") {
          assert.deepEqual(result, { ok: true });
          continue;
        }
        assert.deepEqual([result.ok, result.error?.code], [false, "internal"]);
        assert.match(String(result.error?.remedy), /report/);
      }
    });
  }

  test("in the agent's own program", async () => {
    for (const way of ["throws at once", "throws in a timer"])
      assertTold(await runEntry(AGENT_MAIN, [], { hook: hookFor(way) }), way);
  });

  test("with NIGHTLATCH_DEBUG where it came from is told too, but nothing that it says", async () => {
    const env = { NIGHTLATCH_DEBUG: "1" };
    const { stderr } = await runEntry(MAIN, ["status", "--json"], { hook: hookFor("throws at once"), env });
    assert.match(stderr, /^ {4}at .*src\/main\.ts:\d+:\d+/m);
    assert.doesNotMatch(stderr, new RegExp(SAID));
  });
});

test("a token whose keyslot somebody removed is told, and each of the remedies helps", { skip: noTangd }, async () => {
  await using tang = await startTangd();
  const passphrase = join(folder, "passphrase");
  writeFileSync(passphrase, PASSPHRASE);
  for (const remedy of ["unbind", "replace"]) {
    const image = makeVolume(folder, `${remedy}.img`, "luks2");
    const common = ["--key-file", passphrase, "--state", makeState(folder), "--json"];
    const asked = await nightlatch("bind", image, "tang", tang.url, ...common);
    const thumbprint = /signs as ([\w-]+)/.exec(asked.stdout)?.[1] ?? assert.fail(asked.stdout);
    const bind = ["bind", image, "tang", tang.url, "--thumbprint", thumbprint, ...common];
    assert.equal((await nightlatch(...bind)).status, 0);
    runTool(["cryptsetup", "luksKillSlot", image, "1", "-"], PASSPHRASE);
    const told = await nightlatch(...bind);
    assert.equal(told.status, 1);
    const { error } = JSON.parse(told.stdout) as { error: { code: string; remedy: string } };
    assert.equal(error.code, "luks/not-proved");
    if (remedy === "unbind") {
      const words =
        /nightlatch (unbind \S+ --token \d+)/.exec(error.remedy)?.[1]?.split(" ") ?? assert.fail(error.remedy);
      const unbound = await nightlatch(...words, ...common);
      assert.equal(unbound.status, 0, unbound.stderr);
      assert.equal((await nightlatch(...bind)).status, 0);
    } else {
      const replaced = await nightlatch(...bind, "--replace");
      assert.equal(replaced.status, 0, replaced.stderr);
    }
    assert.equal(
      spawnSync("cryptsetup", ["luksDump", image])
        .stdout.toString()
        .match(/^ {2}\d: clevis/gm)?.length,
      1,
    );
  }
});
