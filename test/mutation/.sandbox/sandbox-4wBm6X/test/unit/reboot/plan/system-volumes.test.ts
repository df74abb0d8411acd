// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import { isError } from "../../../../src/core/errors.ts";
import { planSystemVolumes } from "../../../../src/reboot/plan/system-volumes.ts";
import { fakeSystem } from "../../../support/fake-files.ts";

const DATA = Buffer.alloc(1 << 20);
const MOUNT = "/dev/mapper/data /srv ext4";

/**
 * What there is to open of a plain volume, which would ask; null where the reboot is refused for
 * it.
 */
async function planned(
  crypttab: string,
  fstab: string,
  more: Readonly<Record<string, string | Buffer>> = {},
): Promise<readonly boolean[] | null> {
  const files = { "/etc/crypttab": `${crypttab}\n`, "/etc/fstab": `${fstab}\n`, "/dev/vdc": DATA, ...more };
  const system = fakeSystem(files, ([program]) => (program === "findmnt" ? { stdout: "tmpfs\n" } : undefined));
  try {
    return (await planSystemVolumes(system, new Set())).map(({ mayFail }) => mayFail);
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

test("lines are read as systemd reads them", async () => {
  const remark = "data /dev/vdc none plain,nofail # not plain,fail";
  assert.deepEqual(await planned(remark, ""), [true]);
  const twice = "data /dev/vdc none plain,nofail\ndata /dev/vdc none plain";
  assert.deepEqual(await planned(twice, ""), [true], "the second of a name is none");
  const comma = "data /dev/vdc none plain,x-own=a\\,nofail";
  assert.equal(await planned(comma, ""), null, "a comma behind a backslash parts no options");
  assert.equal(await planned("data /dev/vdc none plain,nofail,fail", ""), null, "the last of both counts");
  const label = { "/dev/disk/by-label/the\\x2fdata": DATA };
  assert.deepEqual(await planned("data LABEL=the/data none plain,nofail", "", label), [true]);
  const upper = { "/dev/disk/by-uuid/1234-abcd": DATA };
  assert.deepEqual(await planned("data UUID=1234-ABCD none plain,nofail", "", upper), [], "udev's link keeps the case");
  const inRun = { "/run/cryptsetup-keys.d/data.key": "k" };
  assert.deepEqual(await planned("data /dev/vdc none plain", "", inRun), [false], "its key is taken from /run, too");
  assert.deepEqual(await planned("data /dev/vdc /dev/hwrng swap", ""), [false], "a random key");
});
