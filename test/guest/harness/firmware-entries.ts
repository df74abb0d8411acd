/**
 * Machines that a real firmware boots through a real boot loader: `nightlatch reboot --dry-run`
 * names the entry that is then booted, whichever way it was chosen; and a kernel that was just
 * installed is the one that `nightlatch reboot` lands in.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { PASSPHRASE, UUIDS } from "./encrypted-root.ts";
import {
  assertBooted,
  comeBack,
  DEADLINE_MS,
  namedEntry,
  rebootByHand,
  releaseOf,
  withFirmwareMachine,
} from "./firmware-boots.ts";
import { FIRMWARE_CMDLINE, type Loader, UPDATE_FOLDER } from "./loader.ts";
import type { Machine } from "./machine.ts";
import { onlyInFull } from "./requirements.ts";

/** How one loader is told what to boot. */
interface Choosing {
  readonly source: string;
  /** Shell that makes `$old`, a release, the default of all boots. */
  readonly setDefault: string;
  /**
   * Shell that adds an entry of the administrator's own: kernel `$old`, its initramfs and /own.img,
   * the command line `$line`.
   */
  readonly addOwn: string;
  /** Shell that chooses it for one boot. */
  readonly chooseOwnOnce: string;
}

const GRUB = {
  source: "grub",
  setDefault: `
    sed -i s/^GRUB_DEFAULT=.*/GRUB_DEFAULT=saved/ /etc/default/grub
    update-grub
    ids=$(sed -n "s/.*menuentry_id_option '\\([^']*\\)'.*/\\1/p" /boot/grub/grub.cfg)
    grub-set-default "$(grep ^gnulinux-advanced- <<<"$ids")>$(grep "^gnulinux-$old-advanced-" <<<"$ids")"`,
  addOwn: `
    cp /own.img /boot/own.img
    cat >>/etc/grub.d/40_custom <<END
menuentry 'The administrator'"'"'s own' --id own {
  search --no-floppy --fs-uuid --set=root ${UUIDS.boot}
  linux /vmlinuz-$old $line
  initrd /initrd.img-$old /own.img
}
END
    update-grub`,
  chooseOwnOnce: "grub-reboot own",
};

type Updatable = Extract<Loader, "grub-bios" | "grub-efi" | "systemd-boot">;

const CHOOSING: Readonly<Record<Updatable, Choosing>> = {
  "grub-bios": GRUB,
  "grub-efi": GRUB,
  "systemd-boot": {
    source: "systemd-boot",
    setDefault: 'bootctl set-default "$(cat /etc/machine-id)-$old.conf"',
    addOwn: `
      folder=$(cat /etc/machine-id)/$old
      cp /own.img /boot/efi/own.img
      cat >/boot/efi/loader/entries/own.conf <<END
title The administrator's own
linux /$folder/linux
initrd /$folder/initrd.img-$old
initrd /own.img
options $line
END`,
    chooseOwnOnce: "bootctl set-oneshot own.conf",
  },
};

/** One file a loader: each takes a quarter of an hour where nothing is accelerated. */
export function testEntries(loader: Updatable): void {
  describe(`${loader}, Debian 12`, { skip: onlyInFull(), concurrency: 1 }, () => {
    test("the entry that is named is the one that is booted; a kernel update is landed in", () =>
      withFirmwareMachine(loader, (machine) => live(machine, CHOOSING[loader])));
  });
}

async function live(machine: Machine, choosing: Choosing): Promise<void> {
  const old = await releaseOf(machine);
  const first = await namedEntry(machine);
  assert.deepEqual([first.source, first.once, first.release], [choosing.source, false, old]);
  await assertBooted(machine, first);

  // A kernel update.
  await machine.must(`dpkg -i ${UPDATE_FOLDER}/*.deb`, DEADLINE_MS);
  const updated = await namedEntry(machine);
  assert.notEqual(updated.release, old);
  await comeBack(machine, () => machine.run("nightlatch reboot --key-file -", DEADLINE_MS, PASSPHRASE));
  await assertBooted(machine, updated);

  // The plain default, as the firmware finds it.
  await rebootByHand(machine);
  await assertBooted(machine, updated);

  // Another default.
  await machine.must(`old=${old}\n${choosing.setDefault}`, DEADLINE_MS);
  const chosen = await namedEntry(machine);
  assert.deepEqual([chosen.once, chosen.release], [false, old]);
  await rebootByHand(machine);
  await assertBooted(machine, chosen);

  // An entry with two initramfs files, for one boot. The second says so when it is read.
  const line = `root=/dev/mapper/cryptroot ro ${FIRMWARE_CMDLINE} nl.marker=own`;
  await machine.must(`set -e\nold=${old} line='${line}'\n${OWN_INITRAMFS}\n${choosing.addOwn}`, DEADLINE_MS);
  assert.deepEqual(await namedEntry(machine), chosen);
  await machine.must(choosing.chooseOwnOnce);
  const own = await namedEntry(machine);
  assert.deepEqual([own.once, own.release, own.cmdline, own.initrds.length], [true, old, line, 2]);
  await rebootByHand(machine);
  await assertBooted(machine, own);
  await machine.must("dmesg | grep -F 'own.img was read'");

  // Once is once.
  assert.deepEqual(await namedEntry(machine), chosen);
  await rebootByHand(machine);
  await assertBooted(machine, chosen);
}

/**
 * initramfs-tools' init reads conf/conf.d before all else. Compressed: a kernel that loads several
 * files itself (systemd-boot leaves it to the EFI stub) does not pad between them, and finds an
 * archive that is not compressed only at a multiple of 4.
 */
const OWN_INITRAMFS = `
mkdir -p /root/own/conf/conf.d
echo 'echo own.img was read >/dev/kmsg' >/root/own/conf/conf.d/own
(cd /root/own && find . -mindepth 1 | cpio -o -H newc --quiet | gzip -n) >/own.img`;
