/**
 * `nightlatch reboot` on whole machines: an encrypted root, swap and a data volume under one
 * passphrase come back to a login with nobody typing, and nothing of the key is left.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { PASSPHRASE } from "./encrypted-root.ts";
import type { Machine } from "./machine.ts";
import { judged, tellVersions } from "./moving.ts";
import { kexecByHand } from "./plain.ts";
import {
  assertClean,
  DEADLINE_MS,
  headers,
  type Kind,
  rebootByItself,
  VOLUMES,
  withMachine,
} from "./reboot-machine.ts";
import { onlyInFull } from "./requirements.ts";

/**
 * Tells each new key that cryptsetup is given on the serial line, for the search, and is cryptsetup
 * otherwise.
 */
const RECORDER = `#!/bin/bash
tell() { tail -c 64 | od -An -v -tx1 | tr -d ' \\n' | sed 's/.*/KEY &\\n/' >/dev/ttyS0; }
case "$*" in
  (*luksAddKey*) tee >(tell) | /usr/sbin/cryptsetup.real "$@" ;;
  (*) exec /usr/sbin/cryptsetup.real "$@" ;;
esac
`;

/**
 * Which of the needles (hex) a device or file of the guest holds; the whole of it is read, past
 * every cache.
 */
const SEARCH = `
const { openSync, readFileSync, readSync } = require("node:fs");
const needles = readFileSync(0, "latin1").trim().split(" ").map((hex) => Buffer.from(hex, "hex"));
const found = new Set();
for (const file of process.argv.slice(2)) {
  const handle = openSync(file, "r");
  const chunk = Buffer.alloc(8 << 20);
  for (let kept = 0; ; ) {
    const read = readSync(handle, chunk, kept, chunk.length - kept, null);
    if (read === 0) break;
    const filled = chunk.subarray(0, kept + read);
    for (const needle of needles) if (filled.includes(needle)) found.add(file + " " + needle.toString("hex"));
    kept = Math.min(127, filled.length);
    filled.copy(chunk, 0, filled.length - kept);
  }
}
process.stdout.write([...found].join("\\n"));
`;

/** Every disk as it lies there, and the root once more as it is decrypted. */
const SEARCHED = ["vda", "vdb", "vdc", "vdd", "mapper/cryptroot"].map((name) => `/dev/${name}`);

async function search(machine: Machine, needles: readonly Buffer[]): Promise<string[]> {
  await machine.must("sync && echo 3 >/proc/sys/vm/drop_caches");
  await machine.must("cat >/run/search.cjs", 60_000, SEARCH);
  const hex = needles.map((needle) => needle.toString("hex")).join(" ");
  const found = await machine.must(`/usr/lib/nightlatch/node /run/search.cjs ${SEARCHED.join(" ")}`, DEADLINE_MS, hex);
  return found.split("\n").filter((line) => line !== "");
}

/**
 * One file a few kinds, for a file's time is bounded. `generator` is what Nightlatch finds in the
 * initramfs.
 */
export function testKexec(name: string, kind: Kind, generator: string): void {
  describe(name, { skip: onlyInFull(), concurrency: 1 }, () => {
    test("comes back by itself, in the kernel of the entry, with nothing left behind", async (t) => {
      const body = async (machine: Machine) => {
        await tellVersions(t, kind.suite, (script) => machine.must(script));
        const before = await headers(machine);

        const dry = JSON.parse(
          await machine.must("nightlatch reboot --dry-run --json --key-file -", DEADLINE_MS, PASSPHRASE),
        );
        assert.equal(dry.entry.source, "grub");
        assert.equal(dry.initramfs.stack, generator);
        assert.deepEqual(
          dry.volumes.map((volume: { name: string; stage: string; opens: string }) => [
            volume.name,
            volume.stage,
            volume.opens,
          ]),
          [
            ["cryptroot", "initramfs", "disposable key"],
            ["cryptswap", "initramfs", "disposable key"],
            ["data", "system", "disposable key"],
          ],
        );
        assert.equal(await headers(machine), before);

        await machine.must(
          "mv /usr/sbin/cryptsetup /usr/sbin/cryptsetup.real && cat >/usr/sbin/cryptsetup && chmod 755 /usr/sbin/cryptsetup",
          60_000,
          RECORDER,
        );
        await rebootByItself(machine);

        const mapped = await machine.must("dmsetup info -c --noheadings -o name,uuid --separator ' '");
        for (const mapping of ["cryptroot", "cryptswap", "data"])
          assert.match(mapped, new RegExp(`^${mapping} CRYPT-LUKS2-`, "m"));
        assert.equal(await machine.must("cat /srv/greeting"), "hello\n");
        assert.match(await machine.must("cat /proc/swaps"), /^\/dev\/dm-/m);
        await assertClean(machine, before);

        const keys = [...machine.console.transcript().matchAll(/KEY ([0-9a-f]{128})/g)].map((match) =>
          Buffer.from(String(match[1]), "hex"),
        );
        assert.equal(keys.length, VOLUMES.length);
        const planted = Buffer.from("planted where a search has to find it, or it finds nothing at all");
        await machine.must("cat >/boot/planted", 60_000, planted.toString());
        assert.deepEqual(await search(machine, [...keys, planted]), [`/dev/vdd ${planted.toString("hex")}`]);
      };
      await judged(
        t,
        kind.suite,
        () => withMachine(kind, body),
        () => kexecByHand(kind),
      );
    });
  });
}
