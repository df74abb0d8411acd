/**
 * `nightlatch reboot` on a machine that systemd-boot boots by unified kernel images: what the image
 * holds is landed in by kexec with nobody typing; and of an image of several profiles, with addons
 * and a credential beside it, exactly what systemd-stub itself would start. The stub is the judge:
 * what it booted is held against what we said before, and against what our kexec booted.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { PASSPHRASE } from "../harness/encrypted-root.ts";
import {
  assertBooted,
  comeBack,
  DEADLINE_MS,
  type NamedEntry,
  namedEntry,
  rebootByHand,
  withFirmwareMachine,
} from "../harness/firmware-boots.ts";
import { LOADER_SHOWN } from "../harness/firmware-once.ts";
import type { Machine } from "../harness/machine.ts";
import { assertClean, assertNothingStaged, headers, settle } from "../harness/reboot-machine.ts";
import { onlyInFull } from "../harness/requirements.ts";

const TRIXIE = { suite: "trixie", generator: "dracut", compression: "zstd" } as const;

/**
 * A second image: two profiles beside its own, an addon for all images and one for this one, a
 * credential. The last profile is the default then.
 */
const SECOND_IMAGE = `set -e
esp=/boot/efi
release=$(uname -r)
line=$(cat /etc/kernel/cmdline)
cd /root
ukify build --profile='ID=first' --cmdline="$line nl.profile=first" --output=first.efi
ukify build --profile='ID=other' --cmdline="$line nl.profile=other" --output=other.efi
ukify build --linux=/boot/vmlinuz-$release --initrd=/boot/initrd.img-$release --uname=$release --os-release=@/etc/os-release \\
  --cmdline="$line nl.profile=none" --join-profile=first.efi --join-profile=other.efi --output=$esp/EFI/Linux/second.efi
mkdir -p $esp/loader/addons $esp/loader/credentials $esp/EFI/Linux/second.efi.extra.d
ukify build --cmdline='nl.addon=all' --output=$esp/loader/addons/all.addon.efi
ukify build --cmdline='nl.addon=own' --output=$esp/EFI/Linux/second.efi.extra.d/own.addon.efi
ukify build --cmdline='nl.addon=never' --uname=1.0 --output=$esp/EFI/Linux/second.efi.extra.d/never.addon.efi
printf planted >$esp/loader/credentials/nl.test.cred
bootctl set-default second.efi@other
sync`;

describe("a unified kernel image, Debian 13", { skip: onlyInFull(), concurrency: 1 }, () => {
  test("what systemd-stub would start is landed in by kexec", (t) =>
    withFirmwareMachine("uki", (machine) => live(machine, (line) => t.diagnostic(line)), TRIXIE));
});

async function live(machine: Machine, tell: (line: string) => void): Promise<void> {
  await machine.must("ls /sys/firmware/efi/efivars/StubInfo-*");
  tell(await machine.must("bootctl --version | head -1"));
  await settle(machine);
  const before = await headers(machine);
  const byKexec = async (entry: NamedEntry) => {
    const shown = await comeBack(machine, () =>
      machine.run("nightlatch reboot --via kexec --key-file -", DEADLINE_MS, PASSPHRASE),
    );
    assert.doesNotMatch(shown, LOADER_SHOWN);
    await assertBooted(machine, entry);
    assert.equal(await machine.must("cat /srv/greeting"), "hello\n");
    await assertClean(machine, before);
  };

  const first = await namedEntry(machine);
  assert.equal(first.source, "systemd-boot");
  await assertBooted(machine, first);
  await byKexec(first);

  const { status, stdout } = await machine.run(
    "nightlatch reboot --via oneshot --yes --json --key-file -",
    DEADLINE_MS,
    PASSPHRASE,
  );
  assert.deepEqual([status, JSON.parse(stdout).error.code], [1, "oneshot/unavailable"]);
  assert.match(stdout, /unified kernel image/);
  await assertNothingStaged(machine, before);

  await machine.must(SECOND_IMAGE, DEADLINE_MS);
  tell(await machine.must("bootctl list --no-pager"));
  const second = await namedEntry(machine);
  assert.match(second.cmdline, /^ro root=\S+ .* nl\.profile=other nl\.addon=all nl\.addon=own$/);
  const assertCredential = async () =>
    assert.equal(await machine.must("cat /run/credentials/@encrypted/nl.test"), "planted");
  await rebootByHand(machine);
  await assertBooted(machine, second);
  await assertCredential();
  await settle(machine);
  await byKexec(second);
  await assertCredential();
}
