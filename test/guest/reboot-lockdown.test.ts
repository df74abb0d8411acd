/**
 * `nightlatch reboot` under lockdown (kernel_lockdown(7)), which Secure Boot switches on: a kernel with Debian's signature comes back by
 * itself, another is refused with nothing left staged.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { PASSPHRASE } from "./encrypted-root.ts";
import type { Machine } from "./machine.ts";
import {
  assertClean,
  assertNothingStaged,
  DEADLINE_MS,
  headers,
  rebootByItself,
  withMachine,
} from "./reboot-machine.ts";
import { onlyInFull } from "./requirements.ts";

/** Lasts until the next boot. */
const lockDown = (machine: Machine) => machine.must("echo integrity >/sys/kernel/security/lockdown");

/** The same kernel, its signature spoilt. */
const SPOIL = `set -e; cp /boot/vmlinuz-* /root/kernel; cp /boot/initrd.img-* /root/initrd
printf '\\377\\377\\377\\377' | dd of=/root/kernel bs=1 conv=notrunc seek=$(($(stat -c %s /root/kernel) - 64)) status=none`;

describe("lockdown", { skip: onlyInFull(), concurrency: 1 }, () => {
  for (const suite of ["bookworm", "trixie"] as const) {
    test(`${suite}: a signed kernel is taken, another is not`, async (t) => {
      await withMachine({ suite, generator: "initramfs-tools", compression: "zstd" }, async (machine) => {
        const before = await headers(machine);
        await lockDown(machine);
        await machine.must(SPOIL);
        const spoilt = "nightlatch reboot --kernel /root/kernel --initrd /root/initrd --json --key-file -";
        const { status, stdout } = await machine.run(spoilt, DEADLINE_MS, PASSPHRASE);
        const { error } = JSON.parse(stdout);
        assert.equal(status, 1);
        assert.match(JSON.stringify(error), /locked down \\(Secure Boot\\)/);
        t.diagnostic(`${error.code}: ${error.message} ${error.remedy}`);
        await assertNothingStaged(machine, before);

        await rebootByItself(machine);
        await assertClean(machine, before);
      });
    });
  }
});
