/**
 * Machines without our package that do by hand what the tests have it do. Where one of them fails
 * as well, the failure is not ours (moving.ts).
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { REBUILD } from "../../../src/boot/initramfs/mending.ts";
import { startTangd } from "../../support/tangd.ts";
import { commandLineOf, type EncryptedRoot, NETWORK_DRIVER, PASSPHRASE } from "./encrypted-root.ts";
import { firmwareMachine } from "./firmware-machine.ts";
import { bootImage } from "./image.ts";
import { makeLuksVolume } from "./luks-volume.ts";
import { BOOT_DEADLINE_MS, startMachine } from "./machine.ts";
import { typePassphrase } from "./prompt.ts";
import { HOST_ADDRESS } from "./qemu.ts";
import { BY_KEXEC, DEADLINE_MS, type Kind, withMachineOf } from "./reboot-machine.ts";
import { dataGuest, type Suite } from "./recipe.ts";

const VOLUME = { uuid: "0d7c9b1e-53a1-4d0e-9b59-7a1d1b6d8e09", passphrase: "correct horse plain" };

/** Boots, and boots again with a volume that systemd opens by a key file. */
export async function openByKeyFile(suite: Suite): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "nightlatch-test-"));
  try {
    const file = join(folder, "plain.img");
    await makeLuksVolume(file, "plain", 32, { ...VOLUME, files: { name: "plain\n" } });
    const image = await bootImage(dataGuest(suite));
    await using machine = await startMachine({ image, disks: [{ file, format: "raw", serial: "plain" }] });
    await machine.login();
    await machine.must("umask 077; cat >/root/key", undefined, VOLUME.passphrase);
    await machine.must(`echo plain UUID=${VOLUME.uuid} /root/key luks >/etc/crypttab`);
    await machine.must("echo /dev/mapper/plain /srv ext4 x-systemd.device-timeout=10min 0 2 >>/etc/fstab");
    await machine.reboot();
    assert.equal((await machine.run("systemctl is-system-running --wait", BOOT_DEADLINE_MS)).stdout, "running\n");
    assert.equal(await machine.must("cat /srv/name"), "plain\n");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * Loads the kernel that is installed with the entry's command line, starts it as `systemctl kexec`
 * does, and types the passphrase.
 */
export async function kexecByHand(kind: Kind): Promise<void> {
  await withMachineOf({ ...kind, deb: null }, async (machine) => {
    const load = `set -e
release=$(ls /lib/modules)
kexec -s -l /boot/vmlinuz-$release --initrd=/boot/initrd.img-$release --command-line='${commandLineOf(kind)}'`;
    await machine.must(load, DEADLINE_MS);
    const previous = machine.shell.bootId;
    machine.run("systemctl kexec", DEADLINE_MS).catch(() => {}); // the shell dies with the boot
    await typePassphrase(machine.console);
    await machine.console.waitFor(/login: /, DEADLINE_MS);
    await machine.shell.booted(previous, DEADLINE_MS);
    assert.match(await machine.must("cat /proc/cmdline"), BY_KEXEC);
  });
}

const TANG_PORT = 7500;
/** The other asks by DHCP where nothing is said. */
const DRACUT_NETWORK = `sed -i 's/^GRUB_CMDLINE_LINUX="/&rd.neednet=1 ip=dhcp /' /etc/default/grub && update-grub`;

/**
 * Binds the root to a tangd with the distribution's own clevis, asks for an address by DHCP, and is
 * switched off and on.
 * @param kind with its clevis on the shelf
 */
export async function clevisByHand(kind: Omit<EncryptedRoot, "deb" | "loader">): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "nightlatch-test-"));
  try {
    await using tang = await startTangd();
    const made = await firmwareMachine({ ...kind, loader: "grub-bios", deb: null }, folder);
    const tangPort = Number(new URL(tang.url).port);
    const forwards = [{ guestAddress: HOST_ADDRESS, guestPort: TANG_PORT, hostPort: tangPort }];
    const options = { ...made, forwards, overlay: join(folder, "root.qcow2") };
    {
      await using machine = await startMachine(options);
      await typePassphrase(machine.console);
      await machine.login(DEADLINE_MS);
      const url = JSON.stringify({ url: `http://${HOST_ADDRESS}:${TANG_PORT}` });
      const script = `set -e
apt-get install ${kind.shelf?.join(" ")}
${kind.generator === "dracut" ? "" : NETWORK_DRIVER}
clevis luks bind -y -k - -d /dev/vda tang '${url}'
${kind.generator === "dracut" ? DRACUT_NETWORK : ""}
${REBUILD[kind.generator]}`;
      await machine.must(script, DEADLINE_MS, PASSPHRASE);
      await machine.powerOff(DEADLINE_MS);
    }
    await using machine = await startMachine(options);
    await machine.login(DEADLINE_MS);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
