/**
 * `nightlatch reboot` on whole machines: an encrypted root, swap and a data volume under one passphrase come back to a login with
 * nobody typing, and nothing of the key is left; what fails ends at a prompt that takes the passphrase, or changes nothing.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { type EncryptedRoot, encryptedMachine, PASSPHRASE } from "./encrypted-root.ts";
import { type Machine, startMachine } from "./machine.ts";
import { builtPackage } from "./package.ts";
import { PROMPT, typePassphrase } from "./prompt.ts";
import { onlyInFull } from "./requirements.ts";

const DEADLINE_MS = 900_000;
/** The entry's own command line; QEMU's direct boot has another. */
const BY_KEXEC = /^root=\/dev\/mapper\/cryptroot ro console=ttyS0/;
const VOLUMES = ["vda", "vdb", "vdc"];

type Kind = Omit<EncryptedRoot, "deb">;

/** One machine, its passphrase typed for the first boot, its boot loader's configuration made by itself. */
async function withMachine(kind: Kind, use: (machine: Machine) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "nightlatch-reboot-"));
  try {
    const { options } = await encryptedMachine({ ...kind, deb: await builtPackage() }, folder);
    await using machine = await startMachine(options);
    await typePassphrase(machine.console);
    await machine.login();
    await machine.must("mkdir -p /boot/grub && grub-mkconfig -o /boot/grub/grub.cfg");
    await use(machine);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Slots and tokens of every volume, as cryptsetup prints them. */
const headers = (machine: Machine): Promise<string> =>
  machine.must(VOLUMES.map((name) => `cryptsetup luksDump --dump-json-metadata /dev/${name}`).join("\n"));

/** Comes back without a prompt: one would be typed at by nobody, and the wait would fail. */
async function rebootByItself(machine: Machine, command = "nightlatch reboot --key-file -"): Promise<void> {
  const from = machine.console.transcript().length;
  await machine.restart(() => machine.run(command, DEADLINE_MS, PASSPHRASE), DEADLINE_MS);
  assert.doesNotMatch(machine.console.transcript().slice(from), PROMPT);
  await machine.must("systemctl is-system-running --wait");
}

async function assertClean(machine: Machine, before: string): Promise<void> {
  await machine.must("systemctl start nightlatch-clean-up.service");
  assert.equal(await headers(machine), before);
  assert.equal((await machine.run("ls /run/cryptsetup-keys.d/*.key /run/nightlatch-reboot/*")).stdout, "");
  assert.equal((await machine.must("cat /sys/kernel/kexec_loaded")).trim(), "0");
}

/** Tells each new key that cryptsetup is given on the serial line, for the search, and is cryptsetup otherwise. */
const RECORDER = `#!/bin/bash
case "$*" in
  *luksAddKey*) tee >(tail -c 64 | od -An -v -tx1 | tr -d ' \\n' | sed 's/.*/KEY &\\n/' >/dev/ttyS0) | /usr/sbin/cryptsetup.real "$@" ;;
  *) exec /usr/sbin/cryptsetup.real "$@" ;;
esac
`;

/** Which of the needles (hex) a device or file of the guest holds; the whole of it is read, past every cache. */
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

const STACKS: readonly (readonly [string, Kind, string])[] = [
  [
    "Debian 12, initramfs-tools",
    { suite: "bookworm", generator: "initramfs-tools", compression: "zstd" },
    "initramfs-tools",
  ],
  ["Debian 13, dracut", { suite: "trixie", generator: "dracut", compression: "zstd" }, "dracut-systemd"],
  [
    "Debian 13, initramfs-tools",
    { suite: "trixie", generator: "initramfs-tools", compression: "zstd" },
    "initramfs-tools",
  ],
];

for (const [name, kind, stack] of STACKS) {
  describe(name, { skip: onlyInFull(), concurrency: 1 }, () => {
    test("comes back by itself, in the kernel of the entry, with nothing left behind", async () => {
      await withMachine(kind, async (machine) => {
        const before = await headers(machine);

        const dry = JSON.parse(
          await machine.must("nightlatch reboot --dry-run --json --key-file -", DEADLINE_MS, PASSPHRASE),
        );
        assert.equal(dry.entry.source, "grub");
        assert.equal(dry.initramfs.stack, stack);
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

        assert.match(await machine.must("cat /proc/cmdline"), BY_KEXEC);
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
      });
    });
  });
}

const FIRST: Kind = { suite: "bookworm", generator: "initramfs-tools", compression: "lz4" };

describe("what fails", { skip: onlyInFull(), concurrency: 1 }, () => {
  test("changes nothing, or ends at the prompt that takes the passphrase; lz4 comes back too", async () => {
    await withMachine(FIRST, async (machine) => {
      const before = await headers(machine);
      const refused = async (command: string, code: string, passphrase = PASSPHRASE) => {
        const { status, stdout } = await machine.run(
          `nightlatch reboot --json --key-file - ${command}`,
          DEADLINE_MS,
          passphrase,
        );
        assert.equal(JSON.parse(stdout).error?.code, code, stdout);
        assert.equal(status, 1);
        assert.equal(await headers(machine), before);
        assert.equal((await machine.must("cat /sys/kernel/kexec_loaded")).trim(), "0");
      };

      await refused("", "reboot/wrong-key", "not the passphrase");
      await machine.must(
        "cd /boot && head -c 3000000 initrd.img-* >/root/cut && kernel=$(echo vmlinuz-*) && ln -sf /boot/$kernel /root/kernel",
      );
      await refused("--kernel /root/kernel --initrd /root/cut", "initramfs/malformed");
      await machine.must(
        "mkdir -p /root/bare/conf /root/bare/scripts && cd /root/bare && touch conf/initramfs.conf scripts/functions && find . | cpio -o -H newc --quiet >/root/bare.img",
      );
      await refused("--kernel /root/kernel --initrd /root/bare.img", "boot/no-cryptsetup");
      await refused("--entry nowhere", "boot/no-entry");

      // The shutdown is refused after all is staged.
      await machine.must("systemctl mask --runtime kexec.target");
      await refused("", "reboot/blocked");
      await machine.must("systemctl unmask --runtime kexec.target");

      // The power goes between the keys and the loaded kernel.
      await machine.must(
        "mv /usr/sbin/kexec /usr/sbin/kexec.real && cat >/usr/sbin/kexec && chmod 755 /usr/sbin/kexec",
        60_000,
        STUCK_KEXEC,
      );
      machine.run("nightlatch reboot --key-file -", DEADLINE_MS, PASSPHRASE).catch(() => {});
      await machine.must("until [ -e /run/kexec-is-stuck ]; do sleep 1; done; sync", DEADLINE_MS);
      assert.notEqual(await headers(machine), before);
      const previous = machine.shell.bootId;
      await machine.reset();
      await typePassphrase(machine.console);
      await machine.shell.booted(previous, DEADLINE_MS);
      await assertClean(machine, before);
      await machine.must("mv /usr/sbin/kexec.real /usr/sbin/kexec");

      await rebootByItself(machine);
      await assertClean(machine, before);

      // Last: it cannot be taken back before the next boot.
      await machine.must("sysctl -w kernel.kexec_load_disabled=1");
      await refused("", "kexec/unavailable");
    });
  });
});

describe("the default handler", { skip: onlyInFull(), concurrency: 1 }, () => {
  for (const suite of ["bookworm", "trixie"] as const) {
    test(`${suite}: systemctl reboot comes back by itself; undone, it is an ordinary reboot`, async () => {
      await withMachine({ suite, generator: "initramfs-tools", compression: "zstd" }, async (machine) => {
        const before = await headers(machine);
        assert.equal((await machine.run("nightlatch reboot --make-default")).status, 1);
        await machine.must("nightlatch reboot --remember --key-file -", DEADLINE_MS, PASSPHRASE);
        assert.equal((await machine.must("stat -c %a:%u /var/lib/nightlatch/machine/remembered.key")).trim(), "400:0");
        await machine.must("nightlatch reboot --make-default", DEADLINE_MS);
        const remembered = await headers(machine);

        await rebootByItself(machine, "systemctl reboot");
        assert.match(await machine.must("cat /proc/cmdline"), BY_KEXEC);
        await assertClean(machine, remembered);

        await machine.must("nightlatch reboot --undo-default", DEADLINE_MS);
        const previous = machine.shell.bootId;
        machine.run("systemctl reboot").catch(() => {});
        await typePassphrase(machine.console);
        await machine.shell.booted(previous, DEADLINE_MS);
        assert.doesNotMatch(await machine.must("cat /proc/cmdline"), BY_KEXEC);
        await machine.must("nightlatch reboot --forget --key-file -", DEADLINE_MS, PASSPHRASE);
        await assertClean(machine, before);
      });
    });
  }
});

const STUCK_KEXEC = `#!/bin/sh
[ "$1" = --version ] && exec /usr/sbin/kexec.real --version
: >/run/kexec-is-stuck
exec sleep infinity
`;
