// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import { isError } from "../../../src/core/errors.ts";
import { requireCleanUp } from "../../../src/reboot/clean-up-units.ts";
import { fakeSystem, type Programs } from "../../support/fake-files.ts";

test("nothing is staged where nothing would clean up", async () => {
  const states =
    (stdout: string): Programs =>
    (argv) =>
      argv[0] === "systemctl" ? { stdout } : undefined;
  await requireCleanUp(fakeSystem({}, states("enabled\n\nenabled\n\nenabled\n")));
  for (const said of ["enabled\n\ndisabled\n\nenabled\n", "\n\n\n\n", "enabled\n\nenabled\n"]) {
    await assert.rejects(
      requireCleanUp(fakeSystem({}, states(said))),
      (error) => isError(error, "reboot/blocked") && /systemctl enable nightlatch/.test(String(error.remedy)),
    );
  }
});
