// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import { command } from "../../../src/cli/commands/reboot/reboot.ts";
import { isError } from "../../../src/core/errors.ts";
import { isGoingDown } from "../../../src/host/shutdown.ts";
import { endCalledOff, settleCalledOff } from "../../../src/reboot/called-off.ts";
import { requireNoHindrance } from "../../../src/reboot/hindrance.ts";
import type { System } from "../../../src/system/port.ts";
import { fakeSystem, type Programs } from "../../support/fake-files.ts";
import { runCommand } from "../../support/terminal.ts";

/** As logind answers, with these locks: what, who, why, how, UID, PID. */
const inhibitors = (...locks: readonly (readonly (string | number)[])[]): Programs => {
  return (argv) => {
    if (argv[0] === "busctl") return { stdout: JSON.stringify({ type: "a(ssssuu)", data: [locks] }) };
    return argv[0] === "systemctl" ? {} : undefined;
  };
};
const jobs =
  (stdout: string, status = 0): Programs =>
  (argv) =>
    argv[0] === "systemctl" ? { stdout, status } : undefined;

test("a shutdown is told from other jobs, in every way to go down", async () => {
  const down = (stdout: string, status = 0) => isGoingDown(fakeSystem({}, jobs(stdout, status)));
  for (const name of ["reboot", "kexec", "poweroff", "halt", "exit", "soft-reboot"])
    assert.equal(await down(`  7 stuck.service stop running\n 12 ${name}.target   start waiting\n`), true, name);
  assert.equal(await down(""), false);
  assert.equal(await down("7 stuck.service stop running\n8 multi-user.target start waiting\n"), false);
  assert.equal(await down("7 reboot.target stop waiting\n"), false);
  assert.equal(await down("", 1), true, "who does not answer may be at its end");
});

test("a lock that blocks shutdowns is named with who holds it; others hold nothing up", async () => {
  const hindered = (programs: Programs) => requireNoHindrance(fakeSystem({}, programs));
  await assert.rejects(
    hindered(inhibitors(["sleep:shutdown", "APT", "installs\u001b[2J packages", "block", 0, 739])),
    (error) =>
      isError(error, "reboot/not-now") &&
      error.message === 'the shutdown is held up by "APT" (process 739): "installs\\u001b[2J packages"' &&
      /systemd-inhibit --list/.test(String(error.remedy)),
  );
  await hindered(
    inhibitors(
      ["shutdown", "Unattended Upgrades", "for a moment", "delay", 0, 1],
      ["sleep", "a player", "plays", "block", 1000, 2],
      ["shutdown", "a desktop", "asks first", "block-weak", 1000, 3],
    ),
  );
  // No logind, and no busctl: nobody can hold a lock.
  await hindered((argv) => (argv[0] === "busctl" ? { status: 1 } : {}));
  await hindered(jobs(""));
});

test("no reboot begins where one is held up or under way; a dry run says so", async () => {
  const held = inhibitors(["shutdown", "APT", "installs packages", "block", 0, 739]);
  const soft: Programs = (argv, command) => {
    if (argv[0] === "findmnt") return { stdout: "tmpfs\n" };
    if (argv[1] === "show") return { stdout: "loaded\n" };
    return held(argv, command);
  };
  const run = (args: string[], programs: Programs) => {
    const system = fakeSystem({}, programs);
    return { system, spoken: runCommand(command, ["--via", "soft", ...args], system as unknown as System) };
  };
  const refused = run([], soft);
  await assert.rejects(refused.spoken, (error) => isError(error, "reboot/not-now"));
  assert.deepEqual(
    refused.system.ran.map(([program]) => program),
    ["busctl"],
  );
  const dry = await run(["--dry-run"], soft).spoken;
  assert.match(String(dry.hints[0]), /^A reboot would be refused now: the shutdown is held up by "APT"/);
  await assert.rejects(
    run([], jobs("12 poweroff.target start waiting\n")).spoken,
    (error) => isError(error, "reboot/not-now") && /going down already/.test(error.message),
  );
});

test("what is staged anew is not taken back by a shutdown that was called off before", async () => {
  const settle = async (answers: Readonly<Record<string, number>>, stdout = "") => {
    const system = fakeSystem({}, (argv) => ({ status: answers[String(argv[1])] ?? 0, stdout }));
    await settleCalledOff(system);
    return system.ran.map((argv) => argv.slice(1).join(" "));
  };
  const active = "is-active --quiet nightlatch-called-off.timer";
  const asked = [active, "list-jobs --no-legend --plain"];
  const enabled = "is-enabled --quiet nightlatch-stage.service";
  const ends = ["stop nightlatch-called-off.timer", "stop nightlatch-called-off.service"];
  assert.deepEqual(await settle({ "is-active": 3 }), [active]);
  assert.deepEqual(await settle({ "is-enabled": 1 }), [...asked, enabled, ...ends]);
  assert.deepEqual(await settle({}, "12 reboot.target start waiting\n"), asked);
  assert.deepEqual(await settle({}), [...asked, enabled, "start --no-block nightlatch-stage.service", ...ends]);
});

test("while the system goes down nothing is taken back; once it does not, all is, and the default handler waits again", async () => {
  const folder = "/var/lib/nightlatch/machine";
  const run = async (queued: string, enabled: number) => {
    const files = { "/proc/sys/kernel/random/boot_id": "boot\n", "/sys/kernel/kexec_loaded": "0\n" };
    const fake = fakeSystem(files, (argv) => {
      if (argv[1] === "list-jobs") return { stdout: queued };
      if (argv[1] === "is-enabled") return { status: enabled };
      return argv[0] === "lsblk" ? { stdout: '{"blockdevices":[]}' } : { status: argv[0] === "mountpoint" ? 32 : 0 };
    });
    const system = {
      ...fake,
      nowMs: () => 0,
      lock: async () => ({ descriptor: 0, [Symbol.asyncDispose]: async () => {} }),
      makeDirectory: async () => {},
      removeFile: async () => {},
    } as unknown as System;
    const spoken = await runCommand(command, ["--called-off", "--state", folder], system);
    return { ...spoken, units: fake.ran.filter(([program, verb]) => program === "systemctl" && verb !== "list-jobs") };
  };
  const down = await run("12 kexec.target start waiting\n", 0);
  assert.deepEqual([down.status, down.result, down.lines, down.units], [0, { ok: true, calledOff: false }, [], []]);
  const off = await run("", 0);
  assert.match(String(off.lines[0]), /^The shutdown was called off\. /);
  assert.deepEqual(off.result, { ok: true, calledOff: true, removed: [], disarmed: [], failures: [] });
  const asked = ["systemctl", "is-enabled", "--quiet", "nightlatch-stage.service"];
  const stopped = ["systemctl", "stop", "nightlatch-called-off.timer"];
  assert.deepEqual(off.units, [asked, ["systemctl", "start", "--no-block", "nightlatch-stage.service"], stopped]);
  assert.deepEqual((await run("", 1)).units, [asked, stopped]);
});

test("what could not be taken back is tried again by the timer that the shutdown has stopped", async () => {
  const end = async (isLeft: boolean) => {
    const system = fakeSystem({}, () => ({ status: 0 }));
    await endCalledOff(system, isLeft);
    return system.ran.map((argv) => argv.slice(1).join(" "));
  };
  assert.equal((await end(true)).includes("restart nightlatch-clean-up.timer"), true);
  assert.equal((await end(false)).includes("restart nightlatch-clean-up.timer"), false);
});
