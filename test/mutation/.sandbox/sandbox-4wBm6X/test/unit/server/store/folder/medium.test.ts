// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import { mountOptionsOf, readMedium, warnOfMedium } from "../../../../../src/server/store/folder/medium.ts";
import { nodeSystem } from "../../../../../src/system/node.ts";

const plain = { options: "rw", isCopyOnWriteForbidden: false };

test("only where older bytes stay is it said so", () => {
  const of = (type: number, more: object = {}) => warnOfMedium("/data/cells", { type, ...plain, ...more });
  for (const type of [0xef53, 0x5846_5342, 0x0102_1994, 0x794c_7630, 0]) assert.equal(of(type), null);
  assert.match(of(0xf2f5_2010) ?? "", /^\/data\/cells lies on f2fs.*Move the data folder to a plain ext4 or XFS/);
  for (const type of [0x2fc1_2fc1, 0xca45_1a4e, 0x3434]) assert.notEqual(of(type), null);
  assert.match(of(0x9123_683e) ?? "", /btrfs/);
  assert.equal(of(0x9123_683e, { isCopyOnWriteForbidden: true }), null);
  assert.match(of(0xef53, { options: "rw,errors=remount-ro,data=journal" }) ?? "", /data=journal/);
  assert.equal(of(0xef53, { options: "rw,data=ordered" }), null);
  assert.equal(of(0x5846_5342, { options: "rw,data=journal" }), null);
});

test("the file system's own options are found by its device", () => {
  const mounts = [
    "22 1 259:2 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p2 rw,errors=remount-ro",
    "36 22 8:300 / /srv rw,noatime shared:5 master:1 - ext4 /dev/sdx rw,data=journal",
    "37 22 8:30 / /srv/x rw - ext4 /dev/sdy rw,other",
    "",
  ].join("\n");
  const device = (major: number, minor: number) => (minor & 0xff) + (major << 8) + (minor >> 8) * 2 ** 20;
  assert.equal(mountOptionsOf(mounts, device(259, 2)), "rw,errors=remount-ro");
  assert.equal(mountOptionsOf(mounts, device(8, 300)), "rw,data=journal");
  assert.equal(mountOptionsOf(mounts, device(8, 30)), "rw,other");
  assert.equal(mountOptionsOf(mounts, device(9, 9)), "");
});

test("this machine's is read without a throw, and so is one that is not there", async () => {
  assert.notEqual((await readMedium(nodeSystem, "/proc/self/mountinfo")).type, 0);
  assert.deepEqual(await readMedium(nodeSystem, "/nowhere"), { type: 0, options: "", isCopyOnWriteForbidden: false });
});
