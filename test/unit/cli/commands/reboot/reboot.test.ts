import assert from "node:assert/strict";
import { test } from "node:test";
import { loadKexec, unloadKexec, whyNoKexec } from "../../../../../src/boot/kexec.ts";
import { command } from "../../../../../src/cli/commands/reboot/reboot.ts";
import { isError } from "../../../../../src/core/errors.ts";
import { luksBeneath } from "../../../../../src/host/block-devices.ts";
import { isRebooting } from "../../../../../src/host/shutdown.ts";
import { makeDefault, undoDefault, wantsFirmwareSetup } from "../../../../../src/reboot/default-handler.ts";
import { requireCleanUp } from "../../../../../src/reboot/go.ts";
import { remember } from "../../../../../src/reboot/remember.ts";
import type { System } from "../../../../../src/system/port.ts";
import { type FakeSystem, fakeSystem, type Programs } from "../../../../support/fake-files.ts";
import { runCommand } from "../../../../support/terminal.ts";

/** A fake world that takes writes, for what is not to happen. */
function writable(
  files: Record<string, string | Buffer>,
  programs?: Programs,
): System & FakeSystem & { readonly written: string[] } {
  const fake = fakeSystem(files, programs);
  const written: string[] = [];
  const unused = () => {
    throw new Error("not expected here");
  };
  return {
    ...fake,
    written,
    writeFile: async (path: string, bytes: Uint8Array) => {
      files[path] = Buffer.from(bytes);
      written.push(path);
    },
    removeFile: async (path: string) => {
      delete files[path];
      written.push(`-${path}`);
    },
    makeDirectory: async () => {},
    lock: async () => ({ descriptor: 0, [Symbol.asyncDispose]: async () => {} }),
    nowMs: () => 1000,
    monotonicMs: () => 0,
    random: (lengthBytes: number) => Buffer.alloc(lengthBytes, 1),
    request: unused,
    sleep: unused,
  } as unknown as System & FakeSystem & { readonly written: string[] };
}

const CAN_KEXEC = { "/sys/kernel/kexec_loaded": "0\n", "/proc/sys/kernel/kexec_load_disabled": "0\n" };
const kexecWorks: Programs = (argv) => (argv[0] === "kexec" ? {} : undefined);
/** Nothing speaks against a shutdown. */
const calm: Programs = (argv, command) => (argv[0] === "systemctl" ? {} : kexecWorks(argv, command));

test("arguments that exclude each other, and ways that there are not", async () => {
  const wrong: [string[], RegExp][] = [
    [["--cancel", "--dry-run"], /--cancel and --dry-run exclude each other/],
    [["--remember", "--forget"], /--remember and --forget exclude each other/],
    [["--via", "magic"], /there is no way "magic"/],
  ];
  for (const [args, message] of wrong) {
    await assert.rejects(
      runCommand(command, args, writable({})),
      (error) => isError(error, "usage/wrong") && message.test(error.message),
    );
  }
});

test("why kexec cannot be used, in words", async () => {
  assert.equal(await whyNoKexec(fakeSystem(CAN_KEXEC, kexecWorks)), null);
  assert.match(String(await whyNoKexec(fakeSystem({}, kexecWorks))), /built without kexec/);
  assert.match(String(await whyNoKexec(fakeSystem(CAN_KEXEC))), /kexec-tools/);
  const off = { ...CAN_KEXEC, "/proc/sys/kernel/kexec_load_disabled": "1\n" };
  assert.match(String(await whyNoKexec(fakeSystem(off, kexecWorks))), /switched off until the next boot/);
  await assert.rejects(
    runCommand(command, ["--via", "kexec", "--dry-run"], writable(off, calm)),
    (error) => isError(error, "kexec/unavailable") && /--via bindings.*--via soft/.test(String(error.remedy)),
  );
});

test("nothing is staged where nothing would clean up", async () => {
  const states =
    (stdout: string): Programs =>
    (argv) =>
      argv[0] === "systemctl" ? { stdout } : kexecWorks(argv, { argv: ["x"], deadlineMs: 0 });
  await requireCleanUp(fakeSystem({}, states("enabled\n\nenabled\n\nenabled\n")));
  for (const said of ["enabled\n\ndisabled\n\nenabled\n", "\n\n\n\n", "enabled\n\nenabled\n"]) {
    await assert.rejects(
      requireCleanUp(fakeSystem({}, states(said))),
      (error) => isError(error, "reboot/blocked") && /systemctl enable nightlatch/.test(String(error.remedy)),
    );
  }
});

test("under lockdown only a signed kernel is loaded, and no other way is tried", async () => {
  const image = { kernel: Buffer.from("k"), initrds: [Buffer.from("i")], overlay: Buffer.from("o"), cmdline: "ro" };
  const refusing: Programs = (argv) =>
    argv[0] === "kexec" ? { status: 255, stderr: "kexec_file_load failed: Required key not available\n" } : {};
  const locked = writable(
    { ...CAN_KEXEC, "/sys/kernel/security/lockdown": "none [integrity] confidentiality\n" },
    refusing,
  );
  await assert.rejects(
    loadKexec(locked, image),
    (error) =>
      isError(error, "kexec/failed") &&
      /Required key not available/.test(error.message) &&
      /Secure Boot/.test(String(error.remedy)),
  );
  assert.deepEqual(
    locked.ran.filter(([program]) => program === "kexec").map((argv) => argv[1]),
    ["-s"],
  );
  const open = writable({ ...CAN_KEXEC, "/sys/kernel/security/lockdown": "[none] integrity\n" }, refusing);
  await assert.rejects(loadKexec(open, image), (error) => isError(error, "kexec/failed"));
  assert.deepEqual(
    open.ran.filter(([program]) => program === "kexec").map((argv) => argv[1]),
    ["-s", "-c"],
  );
});

test("a loaded image goes, or it is said that it did not", async () => {
  const files: Record<string, string> = { "/sys/kernel/kexec_loaded": "1\n" };
  const stays = fakeSystem(files, kexecWorks);
  await assert.rejects(
    unloadKexec(stays),
    (error) => isError(error, "kexec/failed") && /could not be unloaded/.test(error.message),
  );
  const goes = fakeSystem(files, (argv) => {
    if (argv.includes("-c")) files["/sys/kernel/kexec_loaded"] = "0\n";
    return {};
  });
  await unloadKexec(goes);
  assert.deepEqual(goes.ran, [
    ["kexec", "-s", "-u"],
    ["kexec", "-c", "-u"],
  ]);
});

test("a reboot is told from other shutdowns by its job", async () => {
  const jobs = (stdout: string) =>
    isRebooting(fakeSystem({}, (argv) => (argv[0] === "systemctl" ? { stdout } : undefined)));
  assert.equal(
    await jobs(" 812 reboot.target                 start waiting\n 813 systemd-reboot.service start waiting\n"),
    true,
  );
  assert.equal(await jobs("812 poweroff.target start waiting\n"), false);
  assert.equal(await jobs("812 kexec.target start waiting\n"), false);
  assert.equal(await jobs(""), false);
});

test("the default handler is one drop-in and one unit, and goes as it came", async () => {
  const files: Record<string, string | Buffer> = {};
  const system = writable(files, () => ({}));
  await makeDefault(system);
  const path = "/etc/systemd/system/systemd-reboot.service.d/nightlatch.conf";
  assert.match(String(files[path]), /^SuccessAction=none$/m);
  assert.match(String(files[path]), /'if \[ -e \/run\/nightlatch-reboot\/staged \] && /);
  assert.match(String(files[path]), /then systemctl --force kexec && exit 0; fi; exec systemctl --force reboot'$/m);
  await undoDefault(system);
  assert.deepEqual(files, {});
  assert.deepEqual(system.ran, [
    ["systemctl", "daemon-reload"],
    ["systemctl", "enable", "--now", "nightlatch-stage.service"],
    ["systemctl", "disable", "--now", "nightlatch-stage.service"],
    ["systemctl", "daemon-reload"],
  ]);
});

test("the volumes beneath the root, through LVM and RAID", async () => {
  const tree = {
    blockdevices: [
      {
        name: "vg-root",
        fstype: "ext4",
        uuid: "1",
        children: [
          {
            name: "md0_crypt",
            fstype: "LVM2_member",
            uuid: "2",
            children: [{ name: "md0", fstype: "crypto_LUKS", uuid: "AB-CD" }],
          },
        ],
      },
    ],
  };
  const programs =
    (source: string): Programs =>
    (argv) => ({ stdout: argv[0] === "findmnt" ? `${source}\n` : JSON.stringify(tree) });
  const system = fakeSystem({}, programs("/dev/mapper/vg-root"));
  assert.deepEqual(await luksBeneath(system, "/"), ["AB-CD"]);
  assert.deepEqual(system.ran[1], ["lsblk", "--json", "--inverse", "-o", "NAME,FSTYPE,UUID", "/dev/mapper/vg-root"]);
  assert.deepEqual(await luksBeneath(fakeSystem({}, programs("tmpfs")), "/"), []);
});

test("who asks for the firmware's menu gets it", async () => {
  const path = "/sys/firmware/efi/efivars/OsIndications-8be4df61-93ca-11d2-aa0d-00e098032b8c";
  const value = (indications: number) => ({ [path]: Buffer.from([7, 0, 0, 0, indications, 0, 0, 0, 0, 0, 0, 0]) });
  assert.equal(await wantsFirmwareSetup(fakeSystem(value(1))), true);
  assert.equal(await wantsFirmwareSetup(fakeSystem(value(2))), false);
  assert.equal(await wantsFirmwareSetup(fakeSystem({ [path]: Buffer.alloc(4) })), false);
  assert.equal(await wantsFirmwareSetup(fakeSystem({})), false);

  const jobs: Programs = (argv) =>
    argv[0] === "systemctl" ? { stdout: "  42 reboot.target start waiting\n" } : undefined;
  const { hints } = await runCommand(command, ["--at-shutdown"], writable(value(1), jobs));
  assert.deepEqual(hints, ["An ordinary reboot: into the firmware's own menu, as was asked for."]);
});

test("a key is kept on an encrypted volume only, whatever the root lies on", async () => {
  const folder = "/var/lib/nightlatch/machine";
  const programs: Programs = (argv) => {
    if (argv[0] === "findmnt") return { stdout: argv.at(-1) === "/" ? "/dev/mapper/root\n" : "/dev/vda5\n" };
    if (argv[0] !== "lsblk") return undefined;
    const fstype = argv.at(-1) === "/dev/vda5" ? "ext4" : "crypto_LUKS";
    return { stdout: JSON.stringify({ blockdevices: [{ name: "x", fstype, uuid: "ab-cd" }] }) };
  };
  const system = writable({}, programs);
  await assert.rejects(
    remember(system, [], new Map(), folder),
    (error) => isError(error, "reboot/blocked") && /machine is not on an encrypted volume/.test(error.message),
  );
  assert.deepEqual(system.written, []);
  // The same on the root writes it, so that the refusal above is the folder's.
  const encrypted = writable({}, (argv, command) =>
    argv[0] === "findmnt" ? { stdout: "/dev/mapper/root\n" } : programs(argv, command),
  );
  await remember(encrypted, [], new Map(), folder);
  assert.deepEqual(encrypted.written, [`${folder}/remembered.key`]);
});
