/**
 * What staging a reboot costs, on a LUKS2 volume in an image file and an initramfs of this
 * machine's own programs (no guest, no kexec): reading the initramfs, the disposable key (record,
 * keyslot, proof), the image with its overlay, and the removal. With --guest also, in one run on
 * one machine: seconds from the command to the login prompt for a firmware reboot whose passphrases
 * are typed as soon as they are asked for, and for `nightlatch reboot`, given the passphrase and by
 * a remembered key. The machine boots through GRUB on OVMF (grub-efi) or SeaBIOS (grub-bios), as
 * fast as these are in an emulator: a server's self-test, a minute or more, comes on top of what is
 * measured. GRUB's timeout and the passphrase's KDF are what Debian makes them.
 * usage: script/node bench/reboot.ts [--rounds N] [--mib N] [--guest [--guest-rounds N] [--loader
 * NAME,…]] [--json]
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { inspectInitramfs } from "../src/boot/initramfs/inspect.ts";
import { buildOverlay } from "../src/boot/overlay/overlay.ts";
import { Secret } from "../src/core/secret.ts";
import { joinInitrds, paddingBeforeOverlay } from "../src/formats/initramfs/initramfs.ts";
import { removeDisposables, stageDisposableKey } from "../src/reboot/stage/disposable.ts";
import { nodeSystem } from "../src/system/node.ts";
import { PASSPHRASE } from "../test/guest/harness/encrypted-root.ts";
import { withFirmwareMachine } from "../test/guest/harness/firmware-boots.ts";
import type { Loader } from "../test/guest/harness/loader.ts";
import { DEADLINE_MS, rebootByItself, rebootTyped, settle, VOLUMES } from "../test/guest/harness/reboot-machine.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "10" },
    mib: { type: "string", default: "150" },
    guest: { type: "boolean", default: false },
    "guest-rounds": { type: "string", default: "2" },
    loader: { type: "string", default: "grub-efi,grub-bios" },
    json: { type: "boolean", default: false },
  },
});

const folder = mkdtempSync(join(tmpdir(), "nightlatch-bench-"));
const took = new Map<string, number[]>();

async function timed<T>(name: string, act: () => Promise<T>): Promise<T> {
  const startMs = performance.now();
  const result = await act();
  took.set(name, [...(took.get(name) ?? []), performance.now() - startMs]);
  return result;
}

function must(argv: readonly [string, ...string[]], input = ""): Buffer {
  const { status, stdout, stderr } = spawnSync(argv[0], argv.slice(1), { input, maxBuffer: 1 << 30 });
  if (status !== 0) throw new Error(`${argv.join(" ")}: ${stderr}`);
  return stdout;
}

/**
 * What makes an archive initramfs-tools', and then programs of this machine up to about `mib`
 * unpacked, as zstd packs them.
 */
function makeInitramfs(mib: number): Buffer {
  const tree = join(folder, "tree");
  const script = `
    mkdir -p ${tree}/conf ${tree}/scripts/local-top ${tree}/usr/sbin ${tree}/cryptroot && cd ${tree}
    touch conf/initramfs.conf scripts/functions scripts/local-top/cryptroot usr/sbin/cryptsetup
    echo 'root UUID=1 none luks' >cryptroot/crypttab
    { find . -type f; find /usr/bin -maxdepth 1 -type f -printf '%s %p\\n' | sort -k2 |
      awk '{ if ((total += $1) > ${mib} * 1048576) exit; print $2 }'; } | cpio -o -H newc --quiet | zstd -q -3`;
  return must(["sh", "-c", script]);
}

async function benchStaging(): Promise<{ initramfsBytes: number }> {
  const device = join(folder, "volume");
  writeFileSync(device, "");
  truncateSync(device, 32 << 20);
  const format = ["--type", "luks2", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", "--key-file", "-"];
  must(["cryptsetup", "luksFormat", "-q", ...format, device], PASSPHRASE);
  const initramfs = makeInitramfs(Number(values.mib));
  const context = { stateFolder: folder, bootId: "11111111-2222-3333-4444-555555555555", expires: 4_000_000_000 };
  const authority = { passphrase: Secret.copy(Buffer.from(PASSPHRASE)), slot: 0 };
  const volume = { name: "root", source: "UUID=1", key: "none", options: ["luks"] };
  for (let round = 0; round < Number(values.rounds); round++) {
    const facts = await timed("read the initramfs", () => inspectInitramfs(nodeSystem, initramfs));
    await timed("staging, all", async () => {
      const key = await timed("  disposable key", () => stageDisposableKey(nodeSystem, { device }, authority, context));
      await timed("  image with overlay", async () => {
        const overlay = buildOverlay({
          generator: "initramfs-tools",
          facts,
          volumes: [{ volume, key: key.reveal() }],
          later: [],
        });
        const base = joinInitrds([initramfs]);
        Buffer.concat([base, paddingBeforeOverlay(base.length), overlay]).fill(0);
      });
      key.wipe();
    });
    await timed("removal", () => removeDisposables(nodeSystem, { device }, folder, () => true));
  }
  return { initramfsBytes: initramfs.length };
}

/** Seconds, a value a round. */
interface GuestTimes {
  readonly loader: Loader;
  readonly firmware: number[];
  readonly givenPassphrase: number[];
  readonly rememberedKey: number[];
  /**
   * Of a dry run by the remembered key: no KDF of a passphrase is in it, nor the search for the
   * slot that the key opens.
   */
  readonly staging: number[];
}

/**
 * The tests' guests hurry where Debian does not: GRUB's timeout, and the KDF, measured by
 * cryptsetup on the machine that it is for.
 */
const AS_DEBIAN = `
set -e
sed -i s/^GRUB_TIMEOUT=.*/GRUB_TIMEOUT=5/ /etc/default/grub
update-grub
key=$(cat)
for name in ${VOLUMES.join(" ")}; do
  cryptsetup luksConvertKey -q --pbkdf argon2id --key-slot 0 --key-file <(printf %s "$key") /dev/$name
done`;

/** Seconds from each command to the login prompt, in turn. */
async function benchGuest(loader: Loader): Promise<GuestTimes> {
  const times: GuestTimes = { loader, firmware: [], givenPassphrase: [], rememberedKey: [], staging: [] };
  await withFirmwareMachine(loader, async (machine) => {
    const withPassphrase = (command: string) => machine.must(command, DEADLINE_MS, PASSPHRASE);
    await withPassphrase(AS_DEBIAN);
    for (let round = 0; round < Number(values["guest-rounds"]); round++) {
      await settle(machine);
      times.firmware.push(await rebootTyped(machine, () => machine.run("systemctl reboot")));
      await settle(machine);
      times.givenPassphrase.push(await rebootByItself(machine));
      await settle(machine);
      await withPassphrase("nightlatch reboot --remember --key-file -");
      times.staging.push(JSON.parse(await machine.must("nightlatch reboot --dry-run --json")).stagingMs / 1000);
      times.rememberedKey.push(await rebootByItself(machine, "nightlatch reboot"));
      await settle(machine);
      await withPassphrase("nightlatch reboot --forget --key-file -");
      const last = [times.firmware, times.givenPassphrase, times.rememberedKey].map((all) => all.at(-1)?.toFixed(1));
      console.error(`${loader}, round ${round + 1}: ${last.join(", ")}`);
    }
  });
  return times;
}

function loaders(): readonly Loader[] {
  return values.loader.split(",").map((name) => {
    if (name === "grub-efi" || name === "grub-bios") return name;
    throw new RangeError(`--loader names grub-efi or grub-bios, not ${JSON.stringify(name)}`);
  });
}

try {
  const { initramfsBytes } = await benchStaging();
  const rows = [...took].map(([name, all]) => {
    const sorted = [...all].sort((a, b) => a - b);
    return { name, medianMs: sorted[sorted.length >> 1] ?? 0, mostMs: sorted.at(-1) ?? 0 };
  });
  const guest: GuestTimes[] = [];
  for (const loader of values.guest ? loaders() : []) guest.push(await benchGuest(loader));
  if (values.json) console.log(JSON.stringify({ rounds: Number(values.rounds), initramfsBytes, rows, guest }));
  else {
    console.log(`initramfs of ${(initramfsBytes / (1 << 20)).toFixed(1)} MiB, ${values.rounds} rounds; milliseconds`);
    for (const { name, medianMs, mostMs } of rows) {
      console.log(
        `${name.padEnd(24)} median ${medianMs.toFixed(0).padStart(6)}   most ${mostMs.toFixed(0).padStart(6)}`,
      );
    }
    const row = (all: readonly number[]) => all.map((one) => one.toFixed(1)).join("  ");
    for (const { loader, firmware, givenPassphrase, rememberedKey, staging } of guest) {
      console.log(`seconds from the command to the login prompt, ${loader}, a column a round`);
      console.log(`firmware reboot, passphrases typed at once: ${row(firmware)}`);
      console.log(`nightlatch reboot, given the passphrase:    ${row(givenPassphrase)}`);
      console.log(`nightlatch reboot, by a remembered key:     ${row(rememberedKey)}`);
      console.log(`  of it staging, without the search for the slot that the key opens: ${row(staging)}`);
    }
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
