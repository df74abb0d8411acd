/**
 * A reboot that does not come to its end, on a whole machine: scheduled and unscheduled again, held
 * up by somebody's lock, called off while it hangs. The system runs on, headers and kernel as
 * before, and what comes next works as ever.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { PASSPHRASE } from "../harness/encrypted-root.ts";
import type { Machine } from "../harness/machine.ts";
import {
  assertClean,
  assertNothingStaged,
  assertOpens,
  DEADLINE_MS,
  headers,
  rebootByItself,
  rebootTyped,
  withMachine,
} from "../harness/reboot-machine.ts";
import { onlyInFull } from "../harness/requirements.ts";

/** Never stops, and so no shutdown ends while it runs. */
const STUCK = `[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
ExecStop=/bin/sleep infinity
TimeoutStopSec=infinity
`;
const REBOOT = "nightlatch reboot --key-file -";

/**
 * A unit that hangs at every shutdown, and a shell that is there all the while; a journal that
 * outlives the boot.
 */
async function prepare(machine: Machine): Promise<void> {
  const lines = [
    "set -e; cat >/etc/systemd/system/stuck.service",
    "sed -i '/^Conflicts=/d;/^Before=/d' /etc/systemd/system/test-shell.service",
    "mkdir -p /var/log/journal; systemctl restart systemd-journald; journalctl --flush",
    "systemctl daemon-reload",
  ];
  await machine.must(lines.join("\n"), 60_000, STUCK);
}

/** Starts a reboot that hangs, waits until all is staged, and calls it off. */
async function callOff(machine: Machine, command: string, target: "kexec" | "reboot", staged: string): Promise<void> {
  const before = await headers(machine);
  await machine.must("systemctl start stuck.service");
  await machine.must(`printf %s "$(cat)" | setsid ${command} >/root/log 2>&1`, DEADLINE_MS, PASSPHRASE);
  await machine.must(
    `until systemctl list-jobs --plain | grep '${target}.target *start' && ${staged}; do sleep 1; done`,
    DEADLINE_MS,
  );
  assert.notEqual(await headers(machine), before);
  await machine.must("systemctl cancel && systemctl kill --signal=KILL stuck.service");
}

/** The timer that a shutdown started has done its work. */
const awaitTakenBack = (machine: Machine) =>
  machine.must("while systemctl is-active nightlatch-called-off.timer; do sleep 1; done", DEADLINE_MS);

const bootId = (machine: Machine) => machine.must("cat /proc/sys/kernel/random/boot_id");

describe("a reboot that is called off", { skip: onlyInFull(), concurrency: 1 }, () => {
  test("leaves the running system with nothing staged, and the next reboot works", async (t) => {
    await withMachine({ suite: "bookworm", generator: "initramfs-tools", compression: "zstd" }, async (machine) => {
      await prepare(machine);
      let before = await headers(machine);

      // Somebody must not be interrupted: refused before anything is asked for.
      await machine.must(
        "setsid systemd-inhibit --what=shutdown --why=flashing sleep infinity >/dev/null 2>&1 & until systemd-inhibit --list | grep flashing; do sleep 1; done",
      );
      const held = await machine.run(`${REBOOT} --json`, DEADLINE_MS, PASSPHRASE);
      assert.equal(held.status, 1);
      const { error } = JSON.parse(held.stdout);
      assert.equal(error.code, "reboot/not-now");
      const holder = /\(process (\d+)\): "flashing"$/.exec(error.message)?.[1];
      assert.ok(holder !== undefined, error.message);
      t.diagnostic(error.message);
      await assertNothingStaged(machine, before);
      await machine.must(`kill ${holder}; while systemd-inhibit --list | grep flashing; do sleep 1; done`);

      // All is staged, the shutdown hangs, and is called off. The next one, begun at once, loses
      // nothing to it.
      await callOff(machine, REBOOT, "kexec", "[ $(cat /sys/kernel/kexec_loaded) = 1 ]");
      await assertOpens(machine);
      await rebootByItself(machine);
      await assertClean(machine, before);

      await machine.must("nightlatch reboot --remember --key-file -", DEADLINE_MS, PASSPHRASE);
      await machine.must("nightlatch reboot --make-default", DEADLINE_MS);
      before = await headers(machine);
      const boot = await bootId(machine);

      // Nothing is staged for a reboot to come, and nothing is left of it.
      await machine.must("shutdown -r +1");
      await assertNothingStaged(machine, before);
      await machine.must("shutdown -c && sleep 65");
      assert.equal(await bootId(machine), boot);
      await assertNothingStaged(machine, before);

      // Staged within the shutdown, which hangs, and is called off: all is taken back, and the
      // default handler waits for the next one.
      await callOff(machine, "systemctl reboot", "reboot", "[ -e /run/nightlatch-reboot/staged ]");
      await awaitTakenBack(machine);
      await assertNothingStaged(machine, before);
      await assertOpens(machine);
      assert.equal(await bootId(machine), boot);
      const said = await machine.must("journalctl --no-pager -o cat -b -u nightlatch-called-off.service");
      assert.match(said, /The shutdown was called off\./);
      assert.match(said, /\/dev\/vdc: disposable key of slot 2 removed/);
      t.diagnostic(said);
      await machine.must("until systemctl is-active nightlatch-stage.service; do sleep 1; done", DEADLINE_MS);
      // As the message says.
      await machine.must("systemctl start {sockets,timers,paths,default}.target", DEADLINE_MS);
      await machine.must("systemctl is-active nightlatch-clean-up.timer dbus.socket systemd-logind multi-user.target");

      await rebootByItself(machine, "systemctl reboot");
      await assertClean(machine, before);

      // Nobody calls it off: it has half an hour as an ordinary reboot has, here a minute, and then
      // goes through the firmware to a prompt.
      await machine.must("nightlatch reboot --undo-default", DEADLINE_MS);
      const limitOf = (target: string) =>
        machine.must(`systemctl show -p JobTimeoutUSec -p JobTimeoutAction ${target}`);
      assert.equal(await limitOf("kexec.target"), await limitOf("reboot.target"));
      await machine.must(
        "mkdir -p /etc/systemd/system/kexec.target.d && cat >/etc/systemd/system/kexec.target.d/shorter.conf && systemctl daemon-reload",
        DEADLINE_MS,
        "[Unit]\nJobTimeoutSec=1min\n",
      );
      await machine.must("systemctl start stuck.service");
      await rebootTyped(machine, () => machine.run(REBOOT, DEADLINE_MS, PASSPHRASE));
      await assertClean(machine, before);
    });
  });
});
