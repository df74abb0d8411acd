/**
 * `nightlatch reboot --make-default` on whole machines: every reboot of the system comes back by
 * itself, and is an ordinary one where that cannot be had without a person; a power-off stays one.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { must } from "../../../script/program.ts";
import { PASSPHRASE } from "./encrypted-root.ts";
import type { Machine } from "./machine.ts";
import { judged, tellVersions } from "./moving.ts";
import { kexecByHand } from "./plain.ts";
import {
  assertClean,
  assertNothingStaged,
  DEADLINE_MS,
  headers,
  type Kind,
  rebootByItself,
  rebootTyped,
  withMachine,
} from "./reboot-machine.ts";
import type { Suite } from "./recipe.ts";
import { onlyInFull } from "./requirements.ts";

const remember = (machine: Machine) =>
  machine.must("nightlatch reboot --remember --key-file -", DEADLINE_MS, PASSPHRASE);

/** What the stage unit said in the boot before this one. */
const saidAtShutdown = (machine: Machine) =>
  machine.must("journalctl --no-pager -o cat -b -1 -u nightlatch-stage.service", DEADLINE_MS);

/** One file a few suites, for a file's time is bounded. */
export function testDefault(suite: Suite): void {
  test(`${suite}: every reboot comes back by itself, or is an ordinary one; a power-off stays one`, {
    skip: onlyInFull(),
  }, async (t) => {
    const kind: Kind = { suite, generator: "initramfs-tools", compression: "zstd" };
    const body = async (machine: Machine, folder: string) => {
      await tellVersions(t, suite, (script) => machine.must(script));
      const before = await headers(machine);
      // A journal that outlives the boot tells what was said at the shutdown.
      await machine.must("mkdir -p /var/log/journal && systemctl restart systemd-journald && journalctl --flush");
      assert.equal((await machine.run("nightlatch reboot --make-default")).status, 1);
      await remember(machine);
      assert.equal((await machine.must("stat -c %a:%u /var/lib/nightlatch/machine/remembered.key")).trim(), "400:0");
      await machine.must("nightlatch reboot --make-default", DEADLINE_MS);
      let remembered = await headers(machine);

      await rebootByItself(machine, "systemctl reboot");
      await assertClean(machine, remembered);
      // As unattended-upgrades does it.
      await rebootByItself(machine, "shutdown -r now");
      await assertClean(machine, remembered);

      // A volume that the remembered key does not open would need a person.
      await machine.must("cryptsetup luksKillSlot -q /dev/vdc 1");
      const without = await headers(machine);
      await rebootTyped(machine, () => machine.run("reboot"));
      assert.match(await saidAtShutdown(machine), /An ordinary reboot: .*\[reboot\/wrong-key\]/);
      await assertClean(machine, without);
      await remember(machine);
      remembered = await headers(machine);

      await machine.must("nightlatch reboot --undo-default", DEADLINE_MS);
      await rebootTyped(machine, () => machine.run("systemctl reboot"));
      await assertClean(machine, remembered);
      await machine.must("nightlatch reboot --forget --key-file -", DEADLINE_MS, PASSPHRASE);
      await assertNothingStaged(machine, before);

      await remember(machine);
      await machine.must("nightlatch reboot --make-default", DEADLINE_MS);
      const from = machine.console.transcript().length;
      machine.run("systemctl poweroff").catch(() => {});
      await assert.rejects(machine.console.waitFor(/Linux version|Welcome to/, DEADLINE_MS), /QEMU ended with 0/);
      assert.doesNotMatch(machine.console.transcript().slice(from), /kexec_core|Rebooting with kexec/);
      const data = await must(["cryptsetup", "luksDump", "--dump-json-metadata", `${folder}/data.raw`]);
      assert.doesNotMatch(data, /nightlatch-disposable/);
    };
    await judged(
      t,
      suite,
      () => withMachine(kind, body),
      () => kexecByHand(kind),
    );
  });
}
