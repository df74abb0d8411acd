/**
 * An initramfs packed by each program that Debian's generators offer: the reboot comes back by
 * itself with every one.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  assertClean,
  DEADLINE_MS,
  headers,
  type Kind,
  rebootByItself,
  withMachine,
} from "../harness/reboot-machine.ts";
import { onlyInFull } from "../harness/requirements.ts";

/** With what each begins. */
const MAGICS = { gzip: "1f8b", xz: "fd377a58", lz4: "02214c18", zstd: "28b52ffd" } as const;

const MAGIC = "od -An -tx1 -N4 /boot/initrd.img-* | tr -d ' \\n'";

const GENERATORS: readonly (readonly [string, Kind, (name: string) => string])[] = [
  [
    "Debian 12, initramfs-tools",
    { suite: "bookworm", generator: "initramfs-tools", compression: "zstd" },
    (name) => `sed -i s/^COMPRESS=.*/COMPRESS=${name}/ /etc/initramfs-tools/conf.d/guest && update-initramfs -u -k all`,
  ],
  [
    "Debian 13, dracut",
    { suite: "trixie", generator: "dracut", compression: "zstd" },
    (name) =>
      `sed -i s/^compress=.*/compress=${name}/ /etc/dracut.conf.d/guest.conf && dracut --force --regenerate-all`,
  ],
];

for (const [name, kind, remake] of GENERATORS) {
  describe(`compression: ${name}`, { skip: onlyInFull(), concurrency: 1 }, () => {
    test("gzip, xz, LZ4 and zstd come back by themselves", async (t) => {
      await withMachine(kind, async (machine) => {
        const before = await headers(machine);
        for (const [compression, magic] of Object.entries(MAGICS)) {
          await machine.must(`${remake(compression)} && sync`, DEADLINE_MS);
          assert.ok((await machine.must(MAGIC)).startsWith(magic), `the initramfs is not packed by ${compression}`);
          await rebootByItself(machine);
          await assertClean(machine, before);
          t.diagnostic(compression);
        }
      });
    });
  });
}
