/**
 * The power goes at every step of a set-up of the initramfs: what boots is the old image or a
 * proved one, whole; and the next run comes to its end.
 */
import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { test } from "node:test";
import { isError } from "../../../src/core/errors.ts";
import { applySetup } from "../../../src/setup/apply.ts";
import { releaseSetup } from "../../../src/setup/files.ts";
import { faultySystem } from "../../support/faults.ts";
import { DRIVER_HOOK, IMAGE, InitramfsMachine } from "../../support/initramfs-machine.ts";

const left = (machine: InitramfsMachine) =>
  readdirSync(machine.at("/boot")).filter((name) => `/boot/${name}` !== IMAGE);

for (const hasTrigger of [false, true]) {
  test(`a cut at every step, the package's own trigger ${hasTrigger ? "runs" : "does not run"}`, async () => {
    let steps = 0;
    for (let at = 1; ; at++) {
      for (const when of ["before", "after"] as const) {
        using machine = new InitramfsMachine();
        machine.hasTrigger = hasTrigger;
        const system = faultySystem(machine.system, { at, when });
        const cut = await applySetup(system, machine.request()).then(
          () => false,
          () => true,
        );
        assert.equal(cut, system.wasCut);
        steps = system.steps.length;
        assert.ok((await machine.outlook()).boots, `step ${at}: ${system.steps.at(-1)}`);
        await applySetup(machine.system, machine.request());
        assert.deepEqual(await machine.outlook(), { boots: true, ready: true });
        assert.deepEqual(left(machine), []);
        await releaseSetup(machine.system, "/state", machine.request().uuid);
        assert.equal(existsSync(machine.at(DRIVER_HOOK)), false);
        assert.deepEqual(readdirSync(machine.at("/state")), []);
      }
      if (at > steps) break;
    }
    assert.ok(steps > 5, String(steps));
  });
}

for (const spoil of ["no module", "no volume", "no clevis", "fails"] as const) {
  // A trigger that made a good image leaves nothing to make.
  for (const hasTrigger of spoil === "fails" ? [false] : [false, true]) {
    test(`${spoil}, ${hasTrigger ? "with" : "without"} a trigger: what booted is put back`, async () => {
      using machine = new InitramfsMachine();
      machine.hasTrigger = hasTrigger;
      machine.spoil = spoil;
      machine.write(DRIVER_HOOK, "#!/bin/sh\n# the administrator's own\n");
      const [image, hook] = [machine.read(IMAGE), machine.read(DRIVER_HOOK)];
      await assert.rejects(applySetup(machine.system, machine.request()), (error: unknown) => {
        assert.ok(isError(error, spoil === "fails" ? "setup/failed" : "setup/not-proved"), String(error));
        assert.match(String(error.meaning), /as it was/);
        return true;
      });
      assert.deepEqual(machine.read(IMAGE), image);
      assert.deepEqual(machine.read(DRIVER_HOOK), hook);
      assert.deepEqual(left(machine), []);
      assert.deepEqual(readdirSync(machine.at("/state")), []);
    });
  }
}

test("no room for an image more: nothing is begun", async () => {
  using machine = new InitramfsMachine();
  const system = { ...machine.system, freeBytes: async () => 1 << 20 };
  await assert.rejects(applySetup(system, machine.request()), { code: "file/full" });
  assert.deepEqual(readdirSync(machine.at("/state")), []);
  assert.equal(existsSync(machine.at("/usr/bin/clevis")), false);
});
