/**
 * `nightlatch reboot` killed at every step, on a whole machine: every volume takes its passphrase,
 * and one --cancel leaves headers, kernel and memory as they were.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { PASSPHRASE } from "../harness/encrypted-root.ts";
import { intercept, letPass, type Stop, stopAt } from "../harness/interceptor.ts";
import type { Machine } from "../harness/machine.ts";
import {
  assertClean,
  assertNothingStaged,
  assertOpens,
  DEADLINE_MS,
  headers,
  rebootByItself,
  withMachine,
} from "../harness/reboot-machine.ts";
import { onlyInFull } from "../harness/requirements.ts";

/** Stages all of it and takes it all back: every step of both. */
const DRY_RUN = "nightlatch reboot --dry-run --key-file -";
const KILLED = 128 + 9;

/** The calls up to the one at which it was killed; null where it came to its end before. */
async function kill(machine: Machine, command: string, at: number | string, how: Stop): Promise<string[] | null> {
  await stopAt(machine, at, how);
  const { status, stdout, stderr } = await machine.run(command, DEADLINE_MS, PASSPHRASE);
  const calls = await letPass(machine);
  if (status === 0) return null;
  assert.equal(status, KILLED, `${at}: ${stdout}${stderr}`);
  return calls;
}

/** Keyslots and records of each volume: `1/0 2/1 …`. */
function shapeOf(dumps: string): string {
  const volumes = dumps.split(/^}/m).slice(0, -1);
  const count = (text: string, pattern: RegExp) => [...text.matchAll(pattern)].length;
  return volumes.map((dump) => `${count(dump, /"kdf":/g)}/${count(dump, /"nightlatch-disposable"/g)}`).join(" ");
}

describe("killed", { skip: onlyInFull(), concurrency: 1 }, () => {
  test("at every step, and while each program that changes something goes on alone", async (t) => {
    await withMachine({ suite: "bookworm", generator: "initramfs-tools", compression: "zstd" }, async (machine) => {
      const before = await headers(machine);
      await intercept(machine);
      const states = new Set<string>();
      let loaded = 0;
      const takeBack = async () => {
        await assertOpens(machine);
        states.add(shapeOf(await headers(machine)));
        loaded += Number(await machine.must("cat /sys/kernel/kexec_loaded"));
        await machine.must("nightlatch reboot --cancel", DEADLINE_MS);
        await assertNothingStaged(machine, before);
        assert.notEqual((await machine.run("mountpoint /run/nightlatch-reboot/kexec")).status, 0);
      };

      for (let nth = 1; ; nth++) {
        const calls = await kill(machine, DRY_RUN, nth, "before");
        if (calls === null) break;
        t.diagnostic(`killed before ${calls.at(-1)}`);
        await takeBack();
      }
      // Nothing; on one volume after the other a record, then its slot; on the way back the slot
      // goes first.
      assert.equal(states.size, 1 + 3 * 2 + (3 * 2 - 1), [...states].join("\n"));
      assert.ok(loaded > 0, "a kernel was loaded at none of the kills");

      for (const call of [
        "cryptsetup token import*/dev/vda",
        "cryptsetup luksAddKey*/dev/vda*",
        "cryptsetup config*/dev/vda",
        "mount *",
        "kexec -s -l*",
        "umount *",
        "cryptsetup luksKillSlot*/dev/vdb*",
        "cryptsetup token remove*/dev/vdb",
      ]) {
        assert.notEqual(await kill(machine, DRY_RUN, call, "during"), null, `${call}: never called`);
        t.diagnostic(`killed during ${call}`);
        await takeBack();
      }

      // Without a --cancel between: what is left is taken back by the run that comes next.
      assert.notEqual(await kill(machine, "nightlatch reboot --key-file -", "systemctl kexec", "before"), null);
      assert.notEqual(await headers(machine), before);
      await machine.must(DRY_RUN, DEADLINE_MS, PASSPHRASE);
      await assertNothingStaged(machine, before);

      // The shutdown has begun: it needs nobody.
      await stopAt(machine, "systemctl kexec", "during");
      await rebootByItself(machine);
      await assertClean(machine, before);
    });
  });
});
