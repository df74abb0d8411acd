import assert from "node:assert/strict";
import { test } from "node:test";
import { isError } from "../../../../src/core/errors.ts";
import { laterVolumes } from "../../../../src/reboot/plan/later.ts";
import { fakeSystem } from "../../../support/fake-files.ts";

const DATA = Buffer.alloc(1 << 20);
const MOUNT = "/dev/mapper/data /srv ext4";

/**
 * What there is to open of a plain volume, which would ask; null where the reboot is refused for
 * it.
 */
async function planned(crypttab: string, fstab: string): Promise<readonly boolean[] | null> {
  const files = { "/etc/crypttab": `${crypttab}\n`, "/etc/fstab": `${fstab}\n`, "/dev/vdc": DATA };
  const system = fakeSystem(files);
  try {
    return (await laterVolumes(system, new Set())).map(({ mayFail }) => mayFail);
  } catch (error) {
    assert.ok(isError(error, "reboot/blocked"), String(error));
    return null;
  }
}

test("a noauto volume that a line of fstab needs is opened at the next boot as others are", async () => {
  const line = "data /dev/vdc none plain,noauto";
  assert.deepEqual(await planned(line, ""), []);
  assert.equal(await planned(line, `${MOUNT} defaults`), null);
  assert.deepEqual(await planned(line, `${MOUNT} nofail`), [true]);
  assert.deepEqual(await planned(line, `${MOUNT} noauto`), []);
  assert.deepEqual(await planned(line, `${MOUNT} x-systemd.automount`), []);
  assert.equal(await planned("data /dev/vdc none plain,noauto,auto", ""), null);
  assert.deepEqual(await planned("data /dev/vdc none plain,nofail", `${MOUNT} defaults`), [true]);
});
