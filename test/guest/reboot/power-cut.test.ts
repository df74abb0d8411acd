/**
 * The power goes while `nightlatch reboot` is at work, on a whole machine: the next boot asks for
 * the passphrase, takes it, and removes what was staged. One cut for each state that the disks can
 * be in, of one volume and of all, and for each part of the way to the new boot.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { PASSPHRASE } from "../harness/encrypted-root.ts";
import { intercept, runUntilHeld, type Stop, stopAt } from "../harness/interceptor.ts";
import { assertClean, DEADLINE_MS, headers, rebootTyped, withMachine } from "../harness/reboot-machine.ts";
import { onlyInFull } from "../harness/requirements.ts";

const REBOOT = "nightlatch reboot --key-file -";

/**
 * Where the command is held when the power goes, and whether the headers differ then from what they
 * were.
 */
const STEPS: readonly (readonly [string, string, Stop, string])[] = [
  ["with a record, and no slot yet", "cryptsetup token import*/dev/vda", "hold", REBOOT],
  ["with the slot of one volume", "cryptsetup luksAddKey*/dev/vda*", "hold", REBOOT],
  ["with everything staged, before the shutdown", "systemctl kexec", "hold-before", REBOOT],
  ["when a slot is taken back, and not its record", "cryptsetup luksKillSlot*/dev/vda*", "hold", `${REBOOT} --dry-run`],
];

/** What the console shows when the power goes. */
const MOMENTS: readonly (readonly [string, RegExp])[] = [
  ["in the first seconds of the new kernel", /Linux version/],
  ["in the shutdown", /Reached target .*umount\.target/],
];

describe("the power goes", { skip: onlyInFull(), concurrency: 1 }, () => {
  test("at each step of staging and on the way to the new boot: the next boot asks, opens and cleans up", async (t) => {
    await withMachine({ suite: "bookworm", generator: "initramfs-tools", compression: "zstd" }, async (machine) => {
      const before = await headers(machine);
      const cutPower = async () => {
        await rebootTyped(machine, () => machine.reset());
        await assertClean(machine, before);
      };

      for (const [when, shown] of MOMENTS) {
        machine.run(REBOOT, DEADLINE_MS, PASSPHRASE).catch(() => {});
        await machine.console.waitFor(shown, DEADLINE_MS);
        await cutPower();
        t.diagnostic(when);
      }
      for (const [when, at, how, command] of STEPS) {
        await intercept(machine);
        await stopAt(machine, at, how);
        await runUntilHeld(machine, command, DEADLINE_MS, PASSPHRASE);
        assert.notEqual(await headers(machine), before);
        await cutPower();
        t.diagnostic(when);
      }
    });
  });
});
