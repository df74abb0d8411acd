/**
 * A boot entry that is good for one boot, through a real firmware and boot loader: the machine
 * comes back once with nobody typing, after an orderly reboot and after a power cut; the boot after
 * that asks, and all that was changed is what it was.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { PASSPHRASE } from "./encrypted-root.ts";
import {
  assertBooted,
  comeBack,
  DEADLINE_MS,
  namedEntry,
  rebootByHand,
  withFirmwareMachine,
} from "./firmware-boots.ts";
import type { Loader } from "./loader.ts";
import type { Machine } from "./machine.ts";
import { settle } from "./reboot-machine.ts";
import { onlyInFull } from "./requirements.ts";

/**
 * All that a one-time boot touches: slots and tokens, files of /boot, GRUB's variables, the
 * firmware's. Without what a loader changes at every boot: the random seed, and `next_entry`, which
 * GRUB leaves empty.
 */
const STATE = `
for name in vda vdb vdc; do cryptsetup luksDump --dump-json-metadata /dev/$name; done
find /boot -type f ! -name random-seed ! -name grubenv -exec sha256sum {} + | sort -k 2
find /boot -printf '%p %M %u %g\\n' | sort
[ ! -e /boot/grub/grubenv ] || grub-editenv - list | grep -v '^next_entry=$'
for file in /sys/firmware/efi/efivars/{Boot0,BootOrder-,LoaderEntryDefault-,LoaderEntryOneShot-}*; do
  [ ! -e "$file" ] || sha256sum "$file"
done`;

export const stateOf = (machine: Machine): Promise<string> => machine.must(STATE);

/** One file a loader, as in firmware-entries.ts. */
export function testOneshot(loader: Loader): void {
  describe(`one-time boot, ${loader}, Debian 12`, { skip: onlyInFull(), concurrency: 1 }, () => {
    test("comes back once; the boot after that asks; nothing is left", () => withFirmwareMachine(loader, live));
  });
}

async function live(machine: Machine): Promise<void> {
  const before = await stateOf(machine);
  const assertAsBefore = async () => {
    await settle(machine);
    assert.equal(await stateOf(machine), before);
    assert.equal((await machine.must("cat /sys/kernel/kexec_loaded")).trim(), "0");
  };
  const arm = () => machine.must("nightlatch oneshot arm --yes --key-file -", DEADLINE_MS, PASSPHRASE);
  const entry = await namedEntry(machine);
  await assertAsBefore();

  const reboot = "nightlatch reboot --via oneshot --yes --key-file -";
  const shown = await comeBack(machine, () => machine.run(reboot, DEADLINE_MS, PASSPHRASE));
  assert.match(shown, LOADER_SHOWN);
  await assertBooted(machine, entry);
  await assertAsBefore();

  // What was disarmed, or has come back once, asks: nothing of either is left to tell them apart.
  await arm();
  assert.notEqual(await stateOf(machine), before);
  await machine.must("nightlatch oneshot disarm", DEADLINE_MS);
  assert.equal(await stateOf(machine), before);
  await rebootByHand(machine);
  await assertBooted(machine, entry);
  await assertAsBefore();

  // A power cut in place of the reboot.
  await arm();
  await comeBack(machine, () => machine.reset().then(() => undefined));
  await assertBooted(machine, entry);
  await assertAsBefore();
}

/** What a boot loader shows, and a kexec does not. */
export const LOADER_SHOWN = /GNU GRUB|BdsDxe|Loading Linux|EFI stub/;
