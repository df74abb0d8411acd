// @ts-nocheck
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { findTetherVolumes } from "../../../../src/agent/tether/volumes.ts";
import { fakeSystem } from "../../../support/fake-files.ts";
import { addToken, makeFolder, makeVolume } from "../../../support/volumes.ts";

const UUIDS = {
  root: "11111111-1111-1111-1111-111111111111",
  swap: "22222222-2222-2222-2222-222222222222",
  bound: "33333333-3333-3333-3333-333333333333",
  plain: "44444444-4444-4444-4444-444444444444",
  gone: "55555555-5555-5555-5555-555555555555",
};
const NAMES = Object.keys(UUIDS) as (keyof typeof UUIDS)[];

const folder = makeFolder();
const headerOf = (image: string) => readFileSync(image).subarray(0, 32 << 10);
const plain = makeVolume(folder, "plain", "luks2");
const bound = makeVolume(folder, "bound", "luks2");
addToken(bound, { type: "clevis", keyslots: ["0"], jwe: {} });

function machine() {
  const files: Record<string, string | Buffer> = {
    "/proc/swaps": "Filename\tType\tSize\n/dev/dm-1                               partition\t1\n/swapfile  file 1\n",
    "/sys/block/vda/dev": "254:0",
    "/sys/block/dm-9/dm/name": "vg-lv\n",
    "/sys/block/dm-9/dm/uuid": "LVM-abc\n",
    "/dev/vd2": headerOf(bound),
    "/dev/vd3": headerOf(plain),
  };
  NAMES.forEach((name, index) => {
    files[`/sys/block/dm-${index}/dm/name`] = `${name}\n`;
    files[`/sys/block/dm-${index}/dm/uuid`] = `CRYPT-LUKS2-${UUIDS[name].replaceAll("-", "")}-${name}\n`;
    files[`/sys/block/dm-${index}/slaves/vd${index}/dev`] = "";
  });
  const on = (uuid: string) => ({ stdout: JSON.stringify({ blockdevices: [{ fstype: "crypto_LUKS", uuid }] }) });
  return fakeSystem(files, (argv) => {
    if (argv[0] === "findmnt") return { stdout: "/dev/mapper/root\n" };
    return argv[0] === "lsblk" ? on(argv.at(-1) === "/dev/dm-1" ? UUIDS.swap : UUIDS.root) : undefined;
  });
}

const named = async (names: readonly string[]) => {
  const { data, system } = await findTetherVolumes(machine(), names);
  return { data: data.map(({ name }) => name), system: system.map(({ name }) => name) };
};

test("volumes with a binding are suspended, and those that are named; never the root, nor what is swapped to", async () => {
  assert.deepEqual(await named([]), { data: ["bound"], system: ["root", "swap"] });
  assert.deepEqual(await named(["plain", "root", "swap", "vg-lv"]), {
    data: ["bound", "plain"],
    system: ["root", "swap"],
  });
});

test("a machine without open volumes runs no program for it", async () => {
  const system = fakeSystem({ "/sys/block/vda/dev": "254:0" });
  assert.deepEqual(await findTetherVolumes(system, ["data"]), { data: [], system: [] });
  assert.deepEqual(system.ran, []);
});
