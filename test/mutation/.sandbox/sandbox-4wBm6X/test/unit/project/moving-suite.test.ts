// @ts-nocheck
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { judged } from "../../guest/harness/moving.ts";
import type { Suite } from "../../guest/harness/recipe.ts";
import { blamed, SuiteFault } from "../../guest/harness/suite.ts";

const ours = new Error("the volume stayed closed");
const fail = (error: Error) => async () => {
  throw error;
};
const pass = async () => {};

/** What a runner would hear of a test. */
async function outcome(suite: Suite, body: () => Promise<void>, control?: () => Promise<void>) {
  const said: string[] = [];
  let skipped: string | undefined;
  const context = { diagnostic: (text: string) => said.push(text), skip: (why?: string) => (skipped = why) };
  try {
    await judged(context, suite, body, control);
    return { how: skipped === undefined ? "passed" : "skipped", skipped, said };
  } catch (error) {
    return { how: "failed", error, said };
  }
}

describe("a failure on a suite that moves", () => {
  test("is ours where the same goes well without us", async () => {
    const { how, error } = await outcome("forky", fail(ours), pass);
    assert.deepEqual([how, error], ["failed", ours]);
    assert.equal((await outcome("forky", fail(ours))).how, "failed", "and where nothing shows that it is not");
  });

  test("is the suite's where it fails without us as well, and both are told", async () => {
    const { how, skipped, said } = await outcome("forky", fail(ours), fail(new Error("no login\nconsole: panic")));
    assert.equal(how, "skipped");
    assert.equal(skipped, "Debian testing (forky) itself: no login console: panic");
    assert.match(said.join("\n"), /the volume stayed closed[\s\S]*no login/);
  });

  test("is the suite's where its own packages do not install", async () => {
    const install = () => blamed("forky", fail(new Error("dpkg: error processing package")));
    const { how, skipped } = await outcome("forky", install, pass);
    assert.equal(how, "skipped");
    assert.match(String(skipped), /itself: dpkg: error processing package/);
  });

  test("is ours where we name a package that the suite has not", async () => {
    for (const said of ["E: Unable to locate package libold1", "E: Package 'libold1' has no installation candidate"]) {
      const error = new Error(`sh ended with 100:\n${said}`);
      assert.deepEqual(await outcome("forky", () => blamed("forky", fail(error)), pass), {
        how: "failed",
        error,
        said: [],
      });
    }
  });
});

test("on a suite that stands still every failure is one, and no control is run", async () => {
  const control = () => assert.fail("a control was run");
  for (const suite of ["bookworm", "trixie"] as const) {
    assert.equal((await outcome(suite, () => blamed(suite, fail(ours)), control)).how, "failed");
    await assert.rejects(blamed(suite, fail(ours)), (error) => error === ours && !(error instanceof SuiteFault));
  }
});

test("what goes well passes, on any suite", async () => {
  for (const suite of ["trixie", "forky"] as const) assert.equal((await outcome(suite, pass)).how, "passed");
});
