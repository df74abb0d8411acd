/**
 * `nightlatch reboot` on a whole machine, where something speaks against it: refused with its
 * reason, headers and kernel as before. And a shutdown that is called off.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { PASSPHRASE } from "../harness/encrypted-root.ts";
import { intercept, letPass, stopAt } from "../harness/interceptor.ts";
import { assertNothingStaged, DEADLINE_MS, headers, withMachine } from "../harness/reboot-machine.ts";
import { onlyInFull } from "../harness/requirements.ts";

/** What makes an archive one of initramfs-tools, and nothing that opens a volume. */
const BARE = `set -e; mkdir -p /root/bare/conf /root/bare/scripts; cd /root/bare; touch conf/initramfs.conf scripts/functions
find . | cpio -o -H newc --quiet >/root/bare.img`;

/** Every keyslot of the data volume is taken; its header is kept to be put back. */
const FILL = `set -e; cryptsetup luksHeaderBackup /dev/vdc --header-backup-file /root/vdc.header; key=$(cat)
while printf %s%s "$key" filler | cryptsetup luksAddKey -q --pbkdf pbkdf2 --pbkdf-force-iterations 1000 \\
  --key-file - --keyfile-size \${#key} --new-keyfile-size 6 /dev/vdc - 2>/root/full; do :; done; cat /root/full`;

describe("what fails", { skip: onlyInFull(), concurrency: 1 }, () => {
  test("is refused with its reason, and changes nothing", async (t) => {
    await withMachine({ suite: "bookworm", generator: "initramfs-tools", compression: "lz4" }, async (machine) => {
      let before = await headers(machine);
      const refused = async (command: string, code: string, passphrase = PASSPHRASE) => {
        const { status, stdout, stderr } = await machine.run(
          `nightlatch reboot --json --via kexec --key-file - ${command}`,
          DEADLINE_MS,
          passphrase,
        );
        assert.equal(JSON.parse(stdout).error?.code, code, `${command}: ${stdout}${stderr}`);
        assert.equal(status, 1);
        await assertNothingStaged(machine, before);
        t.diagnostic(`${code}: ${JSON.parse(stdout).error.message}`);
      };

      await refused("", "reboot/wrong-key", "not the passphrase");
      await refused("--entry nowhere", "boot/no-entry");

      await machine.must(
        "cd /boot && head -c 3000000 initrd.img-* >/root/cut && ln -sf /boot/$(echo vmlinuz-*) /root/kernel",
      );
      await refused("--kernel /root/kernel --initrd /root/cut", "initramfs/malformed");
      await machine.must(BARE);
      await refused("--kernel /root/kernel --initrd /root/bare.img", "boot/no-cryptsetup");
      // The kernel does not take it: every key has been staged by then.
      await machine.must(
        "head -c 1000000 /dev/urandom >/root/junk && ln -sf /boot/$(cd /boot; echo initrd.img-*) /root/initrd",
      );
      await refused("--kernel /root/junk --initrd /root/initrd", "kexec/failed");

      await machine.must("nightlatch reboot --dry-run --key-file -", DEADLINE_MS, PASSPHRASE);
      await machine.must(FILL, DEADLINE_MS, PASSPHRASE);
      before = await headers(machine);
      await refused("", "reboot/slots-full");
      await machine.must("cryptsetup luksHeaderRestore -q /dev/vdc --header-backup-file /root/vdc.header");
      before = await headers(machine);

      await machine.must("systemctl disable nightlatch-clean-up.timer");
      await refused("", "reboot/blocked");
      await machine.must("systemctl enable nightlatch-clean-up.timer");

      // The shutdown is refused after all is staged.
      await machine.must("systemctl mask --runtime kexec.target");
      await refused("", "reboot/blocked");
      await machine.must("systemctl unmask --runtime kexec.target");

      // Staged, and called off by a person before the shutdown begins.
      await intercept(machine);
      await stopAt(machine, "systemctl kexec", "before");
      await machine.run("nightlatch reboot --key-file -", DEADLINE_MS, PASSPHRASE);
      await letPass(machine);
      assert.equal((await machine.must("cat /sys/kernel/kexec_loaded")).trim(), "1");
      assert.notEqual(await headers(machine), before);
      await machine.must("nightlatch reboot --cancel", DEADLINE_MS);
      await assertNothingStaged(machine, before);

      // Staged, and forgotten: by what the timer starts, once it has expired.
      await stopAt(machine, "systemctl kexec", "before");
      await machine.run("nightlatch reboot --key-file -", DEADLINE_MS, PASSPHRASE);
      await letPass(machine);
      await machine.must("systemctl start --wait nightlatch-clean-up.service");
      assert.notEqual(await headers(machine), before);
      await machine.must(
        "systemctl stop systemd-timesyncd 2>/dev/null; date -s '+16 minutes' && systemctl start --wait nightlatch-clean-up.service",
      );
      await assertNothingStaged(machine, before);

      // Last: it cannot be taken back before the next boot.
      await machine.must("sysctl -w kernel.kexec_load_disabled=1");
      await refused("", "kexec/unavailable");
      await refused("--via auto", "reboot/no-way");
    });
  });
});
