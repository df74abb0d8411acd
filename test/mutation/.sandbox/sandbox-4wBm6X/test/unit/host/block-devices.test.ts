// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import { luksBeneath } from "../../../src/host/block-devices.ts";
import { fakeSystem, type Programs } from "../../support/fake-files.ts";

test("the volumes beneath the root, through LVM and RAID", async () => {
  const tree = {
    blockdevices: [
      {
        name: "vg-root",
        fstype: "ext4",
        uuid: "1",
        children: [
          {
            name: "md0_crypt",
            fstype: "LVM2_member",
            uuid: "2",
            children: [{ name: "md0", fstype: "crypto_LUKS", uuid: "AB-CD" }],
          },
        ],
      },
    ],
  };
  const programs =
    (source: string): Programs =>
    (argv) => ({ stdout: argv[0] === "findmnt" ? `${source}\n` : JSON.stringify(tree) });
  const system = fakeSystem({}, programs("/dev/mapper/vg-root"));
  assert.deepEqual(await luksBeneath(system, "/"), ["AB-CD"]);
  assert.deepEqual(system.ran[1], ["lsblk", "--json", "--inverse", "-o", "NAME,FSTYPE,UUID", "/dev/mapper/vg-root"]);
  assert.deepEqual(await luksBeneath(fakeSystem({}, programs("tmpfs")), "/"), []);
});
