import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { before, test } from "node:test";
import { command as arm } from "../../src/cli/oneshot-arm.ts";
import { command as disarm } from "../../src/cli/oneshot-disarm.ts";
import { command as status } from "../../src/cli/oneshot-status.ts";
import { command as reboot } from "../../src/cli/reboot.ts";
import { isError } from "../../src/core/errors.ts";
import { Secret } from "../../src/core/secret.ts";
import { CpioReader } from "../../src/formats/cpio.ts";
import { walkInitramfs } from "../../src/formats/initramfs.ts";
import { readVolumeHeader } from "../../src/luks/header.ts";
import { opensSlot } from "../../src/luks/keyslots.ts";
import { listSlots } from "../../src/luks/slots.ts";
import { cleanUp, listDisposables } from "../../src/reboot/clean-up.ts";
import { nodeSystem } from "../../src/system/node.ts";
import { faultySystem, PowerCut } from "../faults.ts";
import { runCommand } from "../terminal.ts";
import {
  type Booted,
  bootGrub,
  bootSystemdBoot,
  failingAt,
  grubWorld,
  INITRD,
  KERNEL,
  type OneshotOptions,
  type OneshotWorld,
  put,
  skip,
  snapshot,
  systemdBootWorld,
  vector,
} from "./oneshot-world.ts";
import { device, initramfs, makeDevices, NAMES, PASSPHRASE } from "./reboot-world.ts";

before(async () => {
  if (skip === false) await makeDevices();
});

const STATE = "/var/lib/nightlatch/machine";
const PAD = "/boot/nightlatch/oneshot.pad";
const OVERLAY = "/boot/nightlatch/oneshot.cpio";
const person = { passphrase: PASSPHRASE };
const slots = () => Promise.all(NAMES.map(async (name) => listSlots(await readVolumeHeader(nodeSystem, device(name)))));
const nextBoot = (one: OneshotWorld) =>
  put(one, "/proc/sys/kernel/random/boot_id", "77777777-2222-3333-4444-555555555555\n");

interface Loader {
  readonly name: string;
  readonly make: (options?: OneshotOptions) => OneshotWorld;
  readonly boot: (one: OneshotWorld) => Booted;
  readonly ours: string;
  readonly kernel: string;
  readonly initrd: string;
  readonly initrdPath: string;
  readonly options: string;
  /** How the loader's names of files become paths. */
  readonly root: string;
}

const LOADERS: readonly Loader[] = [
  {
    name: "GRUB",
    make: grubWorld,
    boot: bootGrub,
    ours: "nightlatch-oneshot",
    kernel: KERNEL,
    initrd: INITRD,
    initrdPath: INITRD,
    options: "root=/dev/vda ro console=ttyS0 quiet",
    root: "",
  },
  {
    name: "systemd-boot",
    make: systemdBootWorld,
    boot: bootSystemdBoot,
    ours: "nightlatch-oneshot.conf",
    kernel: "/linux",
    initrd: "/initrd",
    initrdPath: "/boot/initrd",
    options: "root=/dev/mapper/cryptroot ro",
    root: "/boot",
  },
];

/** What the kernel gets, by a loader that pads between initrds (GRUB, systemd-boot since 256.6) and by one that does not. */
function loadedInitramfs(one: OneshotWorld, { root }: Loader, { initrds }: Booted, pads: boolean): Buffer {
  const parts = initrds.map((path) => readFileSync(one.at(`${root}${path}`)));
  return Buffer.concat(parts.flatMap((part) => [part, Buffer.alloc(pads ? -part.length & 3 : 0)]));
}

function keysOf(initramfs_: Buffer): Map<string, Buffer> {
  const keys = new Map<string, Buffer>();
  for (const { offsetBytes, lengthBytes } of walkInitramfs(initramfs_)) {
    const reader = new CpioReader(
      ({ name }) => name.endsWith(".key"),
      ({ name }, content) => content !== null && keys.set(name, content),
    );
    reader.push(initramfs_.subarray(offsetBytes, offsetBytes + lengthBytes));
  }
  return keys;
}

for (const loader of LOADERS) {
  const { name, make, boot, ours } = loader;

  test(`${name}: armed, the next boot loads the entry's files and the keys, once; then all is as before`, {
    skip,
  }, async () => {
    const one = make({ files: name === "GRUB" ? { "/boot/grub/custom.cfg": "# mine, no newline" } : {} });
    const [disk, headers] = [snapshot(one, "/boot"), await slots()];
    const { hints, lines, result } = await runCommand(arm, ["--expires", "30m"], one.system, person);
    assert.match(String(hints[0]), /oneshot\.cpio, which is NOT encrypted.*snapshots and backups/);
    assert.match(lines.join("\n"), /via {9}oneshot.*keys in \/boot\/nightlatch\/oneshot\.cpio.*NOT encrypted/);
    assert.equal(result["via"], "oneshot");
    assert.deepEqual(result["oneshot"], {
      loader: name,
      overlay: OVERLAY,
      fileSystem:
        name === "GRUB"
          ? { type: "ext4", device: "/dev/sda2", encrypted: false }
          : { type: "vfat", device: "/dev/sda1", encrypted: false },
    });
    assert.equal(statSync(one.at(OVERLAY)).mode & 0o777, 0o400);
    assert.equal(statSync(one.at("/boot/nightlatch")).mode & 0o777, 0o700);
    assert.match(
      String(one.units.at(-1)),
      /^systemd-run --unit=nightlatch-expiry .*--on-active=1801 .* systemctl start nightlatch-clean-up\.service$/,
    );
    const told = await runCommand(status, [], one.system);
    assert.match(String(told.lines[0]), /^Armed until .* once; its keys lie in \/boot\/nightlatch\/oneshot\.cpio\.$/);
    assert.equal((told.result["oneshot"] as { armed: boolean }).armed, true);

    const booted = boot(one);
    const files = [PAD, OVERLAY].map((path) => path.slice(loader.root.length));
    assert.deepEqual([booted.id, booted.kernel, booted.options], [ours, loader.kernel, loader.options]);
    assert.deepEqual(booted.initrds, [loader.initrd, ...files]);
    for (const pads of [true, false]) {
      const loaded = loadedInitramfs(one, loader, booted, pads);
      assert.equal(loaded.indexOf(readFileSync(one.at(OVERLAY))) % 4, 0, `pads: ${pads}`);
      assert.equal(keysOf(loaded).size, 3, `pads: ${pads}`);
    }
    const keys = [...keysOf(loadedInitramfs(one, loader, booted, false)).values()];
    for (const [index, found] of (await listDisposables(one.system, STATE)).entries()) {
      const key = Secret.copy(keys[index] ?? Buffer.alloc(1));
      assert.equal(await opensSlot(nodeSystem, found, found.record.slot, key), true);
    }
    assert.notEqual(boot(one).id, ours, "the boot after it");

    nextBoot(one);
    const cleaned = await runCommand(reboot, ["--clean-up"], one.system);
    assert.deepEqual([cleaned.status, cleaned.result["failures"]], [0, []]);
    assert.deepEqual((cleaned.result["disarmed"] as string[]).slice(-2), [OVERLAY, PAD]);
    const after = snapshot(one, "/boot");
    for (const files_ of [disk, after]) files_.delete("/boot/grub/grubenv"); // GRUB leaves an empty next_entry in it
    assert.deepEqual([after, await slots()], [disk, headers]);
    assert.deepEqual((await runCommand(status, [], one.system)).lines, ["Nothing is armed."]);
  });

  test(`${name}: disarmed, every byte is what it was`, { skip }, async () => {
    for (const environment of [
      [],
      ["set", "next_entry=", "saved_entry=x y"],
      ["set", "next_entry=Advanced options for Debian GNU/Linux>0"],
    ]) {
      const one = make();
      if (name === "GRUB" && environment.length > 0)
        spawnSync("grub-editenv", [one.at("/boot/grub/grubenv"), ...environment]);
      const [disk, headers] = [snapshot(one, "/boot"), await slots()];
      await runCommand(arm, [], one.system, person);
      assert.notDeepEqual(snapshot(one, "/boot"), disk);
      assert.deepEqual(one.units, ["restart nightlatch-clean-up.timer"]);
      const kept = await cleanUp(one.system, STATE, false);
      assert.deepEqual([kept.removed, kept.disarmed, kept.failures], [[], [], []], "it has not expired");
      const { result } = await runCommand(disarm, [], one.system);
      assert.deepEqual(result["failures"], []);
      assert.deepEqual([snapshot(one, "/boot"), await slots()], [disk, headers]);
    }
  });

  test(`${name}: reboot --via oneshot reboots by the firmware; a dry run, and a shutdown that does not begin, leave nothing`, {
    skip,
  }, async () => {
    const one = make();
    const [disk, headers] = [snapshot(one, "/boot"), await slots()];
    const dry = await runCommand(reboot, ["--via", "oneshot", "--dry-run"], one.system, person);
    assert.deepEqual([dry.status, dry.result["dryRun"], dry.result["via"]], [0, true, "oneshot"]);
    assert.deepEqual([snapshot(one, "/boot"), await slots()], [disk, headers]);
    const stuck = {
      ...one.system,
      run: async (command: Parameters<typeof one.system.run>[0]) => {
        const exit = await one.system.run(command);
        return command.argv[1] === "reboot" ? { ...exit, status: 1 } : exit;
      },
    };
    await assert.rejects(runCommand(reboot, ["--via", "oneshot"], stuck, person), (error) =>
      isError(error, "reboot/blocked"),
    );
    assert.deepEqual([snapshot(one, "/boot"), await slots()], [disk, headers]);
    await runCommand(reboot, ["--via", "oneshot"], one.system, person);
    assert.equal(one.units.at(-1), "reboot");
    assert.equal(boot(one).id, ours);
    await runCommand(reboot, ["--cancel"], one.system);
    assert.deepEqual(await slots(), headers);
  });

  test(`${name}: it expires, and goes with a boot that did not take it`, { skip }, async () => {
    const one = make();
    const disk = snapshot(one, "/boot");
    await runCommand(arm, [], one.system, person);
    const later = { ...one.system, nowMs: () => one.system.nowMs() + 15 * 60_000 };
    assert.equal((await cleanUp(later, STATE, false)).failures.length, 0);
    assert.deepEqual(snapshot(one, "/boot"), disk);
    await runCommand(arm, [], one.system, person);
    nextBoot(one);
    assert.equal((await cleanUp(one.system, STATE, false)).failures.length, 0);
    assert.deepEqual(snapshot(one, "/boot"), disk);
  });

  test(`${name}: whichever step of arming fails, all is as before at once`, { skip, timeout: 600_000 }, async () => {
    const one = oneVolume(loader);
    const [disk, headers] = [snapshot(one, "/boot"), await slots()];
    let steps = 1;
    for (let at = 1; at <= steps; at++) {
      const { system, count } = failingAt(one.system, at);
      await runCommand(arm, [], system, person).then(
        () => (steps = at),
        (error) => assert.ok(isError(error, "file/io"), `${at}: ${error}`),
      );
      if (count() >= at) steps = at + 1;
      else await runCommand(disarm, [], one.system);
      assert.deepEqual([snapshot(one, "/boot"), await slots()], [disk, headers], `step ${at}`);
    }
    assert.ok(steps > 8, String(steps));
  });

  test(`${name}: the power cut after any step of arming`, { skip, timeout: 900_000 }, async () => {
    const one = oneVolume(loader);
    const [disk, headers, usual] = [snapshot(one, "/boot"), await slots(), boot(one)];
    for (let at = 1, cut = true; cut; at++) {
      const system = faultySystem(one.system, { at, when: "after" });
      await runCommand(arm, [], system, person).catch((error) => assert.ok(error instanceof PowerCut, String(error)));
      cut = system.wasCut;
      await assertHarmless(one, loader, usual, headers, `after ${system.steps.at(-1)}`);
      assert.deepEqual(withoutChoice(snapshot(one, "/boot")), withoutChoice(disk), `after ${system.steps.at(-1)}`);
    }
  });

  test(`${name}: the power cut after any step of taking back`, { skip, timeout: 900_000 }, async () => {
    const one = oneVolume(loader);
    const [disk, headers, usual] = [snapshot(one, "/boot"), await slots(), boot(one)];
    for (let at = 1, cut = true; cut; at++) {
      await runCommand(arm, [], one.system, person);
      const system = faultySystem(one.system, { at, when: "after" });
      await runCommand(disarm, [], system).catch((error) => assert.ok(error instanceof PowerCut, String(error)));
      cut = system.wasCut;
      await assertHarmless(one, loader, usual, headers, `after ${system.steps.at(-1)}`);
      assert.deepEqual(withoutChoice(snapshot(one, "/boot")), withoutChoice(disk), `after ${system.steps.at(-1)}`);
    }
  });

  test(`${name}: one step of taking back that fails keeps no other from being done, and is told`, {
    skip,
    timeout: 600_000,
  }, async () => {
    const one = oneVolume(loader);
    const headers = await slots();
    await runCommand(arm, [], one.system, person);
    for (const path of [PAD, OVERLAY]) {
      const system = {
        ...one.system,
        removeFile: async (file: string) => (file === path ? undefined : one.system.removeFile(file)),
      };
      const { failures } = await cleanUp(system, STATE, true);
      assert.ok(
        failures.some((error) => error.code === "oneshot/left-over" && error.message.includes(path)),
        path,
      );
      assert.deepEqual(await slots(), headers);
      assert.ok(
        readFileSync(one.at(path)).every((byte) => byte === 0),
        "overwritten all the same",
      );
      assert.notEqual(boot(one).id, ours);
      assert.match(String((await runCommand(status, [], one.system)).lines[0]), /^Not armed\. Left over/);
      assert.deepEqual((await cleanUp(one.system, STATE, true)).failures, []);
      assert.equal(existsSync(one.at("/boot/nightlatch")), false);
      await runCommand(arm, [], one.system, person);
    }
    await runCommand(disarm, [], one.system);
  });
}

/** A machine that opens only its root: its steps are fewer. GRUB's default is not its first entry, which it takes where a choice names none. */
function oneVolume({ make, name }: Loader): OneshotWorld {
  const initrd = initramfs(`cryptroot ${device("root")} none luks\n`);
  const options = { crypttab: "", initrd };
  if (name !== "GRUB") return make(options);
  const [kernel, image] = [KERNEL, INITRD].map((path) => path.replace("-50-", "-49-"));
  const files = {
    "/boot/grub/grub.cfg": vector("grub-debian12-saved.cfg"),
    [String(kernel)]: "old",
    [String(image)]: initrd,
  };
  const one = make({ ...options, files });
  const saved = "saved_entry=gnulinux-advanced-/dev/vda>gnulinux-6.1.0-49-amd64-advanced-/dev/vda";
  assert.equal(spawnSync("grub-editenv", [one.at("/boot/grub/grubenv"), "set", saved]).status, 0);
  assert.equal(bootGrub(one).kernel, kernel);
  return one;
}

/** GRUB leaves an empty next_entry in grubenv when it has taken a choice back. */
const withoutChoice = (files: Map<string, string>): Map<string, string> =>
  new Map([...files].map(([path, text]) => [path, path.endsWith("grubenv") ? "grubenv" : text]));

/** After a cut (what is after one step is before the next): the default with its prompt, or a whole one-time boot and then the default; the passphrase opens; the clean-up finds all. */
async function assertHarmless(
  one: OneshotWorld,
  loader: Loader,
  usual: Booted,
  headers: unknown,
  step: string,
): Promise<void> {
  const first = loader.boot(one);
  if (first.id === loader.ours && first.initrds.length > 1) {
    const keys = keysOf(loadedInitramfs(one, loader, first, false));
    const [found] = await listDisposables(one.system, STATE);
    const [key] = keys.values();
    assert.ok(found !== undefined && key !== undefined, step);
    assert.equal(await opensSlot(nodeSystem, found, found.record.slot, Secret.copy(key)), true, step);
  } else {
    assert.deepEqual([first.kernel, first.initrds], [usual.kernel, usual.initrds], step);
  }
  const second = loader.boot(one);
  assert.notEqual(second.id, loader.ours, `${step}: nothing boots twice`);
  assert.deepEqual(second, usual, step);
  const passphrase = Secret.copy(Buffer.from(PASSPHRASE));
  assert.equal(await opensSlot(nodeSystem, { device: device("root") }, 0, passphrase), true, step);
  const { failures } = await cleanUp(one.system, STATE, true);
  assert.deepEqual(failures, [], step);
  assert.deepEqual(await slots(), headers, step);
}

test("refused, with nothing changed: where GRUB could not take its choice back, or the keys have no place", {
  skip,
}, async () => {
  const refused: [OneshotOptions, RegExp][] = [
    [
      { abstraction: "lvm\n" },
      /lies on lvm, through which GRUB cannot write: it would take the entry again at every boot/,
    ],
    [{ abstraction: "diskfilter mdraid1x\n" }, /lies on diskfilter/],
    [{ abstraction: "cryptodisk luks2 lvm\n" }, /lies on lvm/],
    [{ probed: "btrfs\n" }, /lies on btrfs, on which GRUB does not write in place/],
    [{ probed: "zfs\n" }, /lies on zfs/],
    [{ mount: { options: "ro" } }, /mounted for reading only/],
    [{ mount: { options: "rw,data=journal" } }, /data=journal/],
    [{ mount: { target: "/mnt", fsroot: "/" } }, /cannot be told from where it is mounted|mounted at \/mnt/],
    [{ freeBytes: 4096 }, /has no room left \(4096 bytes\)/],
    [{ files: { "/boot/grub/grubenv": "" } }, /no environment block of 1024 bytes/],
    [{ files: { "/boot/grub/custom.cfg": "set default=0\n" } }, /does not take its default from the one-time choice/],
  ];
  for (const [options, message] of refused) {
    const one = grubWorld(options);
    if (options.files?.["/boot/grub/grubenv"] !== undefined)
      writeFileSync(one.at("/boot/grub/grubenv"), "# GRUB Environment Block\n");
    const [disk, headers] = [snapshot(one, "/boot"), await slots()];
    await assert.rejects(
      runCommand(arm, [], one.system, person),
      (error) => isError(error, "oneshot/unavailable") && message.test(error.message),
      String(message),
    );
    assert.deepEqual([snapshot(one, "/boot"), await slots()], [disk, headers]);
  }
});

test("refused: entries that no boot loader of ours can follow", { skip }, async () => {
  const extlinux = grubWorld({
    files: { "/boot/extlinux/extlinux.conf": `default l\nlabel l\nkernel ${KERNEL}\ninitrd ${INITRD}\nappend ro\n` },
  });
  spawnSync("rm", ["-r", extlinux.at("/boot/grub")]);
  const bls = grubWorld({
    files: {
      "/boot/grub/grub.cfg": `load_env\nset timeout=5\nif [ "\${next_entry}" ]; then set default="\${next_entry}"; fi\nblscfg\n`,
      "/boot/loader/entries/fedora.conf": `title Fedora\nlinux ${KERNEL}\ninitrd ${INITRD}\noptions ro\n`,
    },
  });
  const alone = systemdBootWorld({
    files: {
      "/boot/loader/entries/debian.conf":
        "title D\nlinux /linux\ninitrd /initrd\noptions root=/dev/mapper/cryptroot ro\n",
    },
  });
  const itself = grubWorld({ crypttab: "", initrd: initramfs(`cryptroot ${device("root")} /key luks\n`, "key") });
  for (const [one, message] of [
    [itself, /every volume opens without a key of ours/],
    [extlinux, /extlinux has no one-time choice/],
    [bls, /does not stand in grub\.cfg/],
    [alone, /would become the default one/],
  ] as const) {
    const disk = snapshot(one, "/boot");
    await assert.rejects(
      runCommand(arm, [], one.system, person),
      (error) => isError(error, "oneshot/unavailable") && message.test(error.message),
    );
    assert.deepEqual(snapshot(one, "/boot"), disk);
  }
});

test("no other way takes it by itself, and an odd life is refused", { skip }, async () => {
  const one = grubWorld({ files: { "/proc/sys/kernel/kexec_load_disabled": "1\n" } });
  const disk = snapshot(one, "/boot");
  await assert.rejects(
    runCommand(reboot, [], one.system, person),
    (error) => isError(error, "reboot/no-way") && /--via oneshot/.test(String(error.remedy)),
  );
  for (const life of ["10s", "25h", "soon"])
    await assert.rejects(runCommand(arm, ["--expires", life], one.system, person), (error) =>
      isError(error, "usage/wrong"),
    );
  assert.deepEqual(snapshot(one, "/boot"), disk);
});

test("a /boot that is encrypted itself: the keys are not in the clear, and somebody types at GRUB's prompt", {
  skip,
}, async () => {
  const one = grubWorld({ encrypted: true });
  const { hints } = await runCommand(arm, [], one.system, person);
  assert.match(String(hints[0]), /not in the clear on any disk.*GRUB opens that volume.*somebody has to type it/);
  await runCommand(disarm, [], one.system);
});

test("what the administrator writes to custom.cfg while the passphrase is asked for stays", { skip }, async () => {
  const one = grubWorld();
  const headers = await slots();
  const written = "menuentry 'new' { true; }\n";
  const system = {
    ...one.system,
    makeDirectory: async (path: string, mode: number) => {
      if (path === "/boot/nightlatch") put(one, "/boot/grub/custom.cfg", written);
      return one.system.makeDirectory(path, mode);
    },
  };
  await assert.rejects(
    runCommand(arm, [], system, person),
    (error) => isError(error, "oneshot/failed") && /changed in the meantime/.test(error.message),
  );
  assert.equal(readFileSync(one.at("/boot/grub/custom.cfg"), "utf8"), written);
  assert.deepEqual([existsSync(one.at("/boot/nightlatch")), await slots()], [false, headers]);
});

test("what a write leaves that was killed in its middle is found, and the keys in it are overwritten", {
  skip,
}, async () => {
  const cut = "0123456789ab.tmp";
  for (const { make, name } of LOADERS) {
    const one = make();
    const disk = snapshot(one, "/boot");
    const entry = name === "GRUB" ? "/boot/grub/custom.cfg" : "/boot/loader/entries/nightlatch-oneshot.conf";
    for (const path of [`${OVERLAY}.${cut}`, PAD, `${entry}.${cut}`]) put(one, path, "half of it");
    const wiped: string[] = [];
    const system = {
      ...one.system,
      removeFile: async (path: string) => {
        if (existsSync(one.at(path))) wiped.push(`${path} ${readFileSync(one.at(path)).every((byte) => byte === 0)}`);
        await one.system.removeFile(path);
      },
    };
    assert.deepEqual((await cleanUp(system, STATE, false)).failures, []);
    assert.deepEqual(snapshot(one, "/boot"), disk);
    assert.deepEqual(wiped.slice(1), [`${OVERLAY}.${cut} true`, `${PAD} true`], name);
  }
  const foreign = grubWorld({ files: { "/boot/nightlatch/notes": "somebody's" } });
  assert.deepEqual((await cleanUp(foreign.system, STATE, true)).disarmed, []);
  assert.equal(existsSync(foreign.at("/boot/nightlatch/notes")), true);
  assert.deepEqual((await runCommand(status, [], foreign.system)).lines, ["Nothing is armed."]);
});

test("a part of custom.cfg that lost its end keeps neither the choice nor the keys", { skip }, async () => {
  const one = grubWorld();
  const headers = await slots();
  await runCommand(arm, [], one.system, person);
  const path = one.at("/boot/grub/custom.cfg");
  writeFileSync(path, readFileSync(path).subarray(0, -10));
  const { status: ended, result } = await runCommand(disarm, [], one.system);
  assert.equal(ended, 1);
  assert.deepEqual(
    (result["failures"] as { code: string }[]).map(({ code }) => code),
    ["oneshot/malformed"],
  );
  assert.deepEqual([existsSync(one.at("/boot/nightlatch")), await slots()], [false, headers]);
  assert.doesNotMatch(readFileSync(one.at("/boot/grub/grubenv"), "latin1"), /next_entry/);
});

test("what somebody else put in our place is not followed, nor overwritten", { skip }, async () => {
  const one = grubWorld();
  put(one, "/elsewhere/oneshot.cpio", "precious");
  symlinkSync(one.at("/elsewhere"), one.at("/boot/nightlatch"));
  await assert.rejects(runCommand(arm, [], one.system, person), (error) => isError(error, "oneshot/unavailable"));
  assert.equal(existsSync(one.at("/boot/grub/custom.cfg")), false);
  spawnSync("rm", [one.at("/boot/nightlatch")]);
  put(one, "/precious", "precious");
  spawnSync("mkdir", [one.at("/boot/nightlatch")]);
  symlinkSync(one.at("/precious"), one.at(OVERLAY));
  await runCommand(disarm, [], one.system);
  assert.equal(readFileSync(one.at("/precious"), "utf8"), "precious");
  assert.equal(existsSync(one.at(OVERLAY)), false);
});

/** An ext4 on a loop device at /boot of the world, or why there can be none. */
function mountBoot(one: OneshotWorld): string | null {
  const image = `${one.at("/")}/boot.img`;
  const steps = [
    ["truncate", "--size=64M", image],
    ["mkfs.ext4", "-q", image],
    ["cp", "--archive", one.at("/boot"), one.at("/before")],
    ["mount", "-o", "loop", image, one.at("/boot")],
    ["cp", "--archive", `${one.at("/before")}/.`, one.at("/boot")],
    ["sync", "--file-system", one.at("/boot")],
  ];
  for (const [program = "", ...args] of steps) {
    const { status: ended, stderr } = spawnSync(program, args, { encoding: "utf8" });
    if (ended !== 0) return `${program} ended with ${ended}: ${stderr}`;
  }
  return null;
}

test("on an ext4 whose journal is not replayed, as after a hard reset, GRUB's own reader finds what is armed, and what is taken back gone", {
  skip,
}, async (t) => {
  const one = grubWorld();
  const why = mountBoot(one);
  if (why !== null) return t.skip(why);
  const image = `${one.at("/")}/boot.img`;
  const read = (path: string) =>
    spawnSync("grub-fstest", [image, "cat", `(loop0)/${path}`], { encoding: "latin1" }).stdout;
  try {
    await runCommand(arm, [], one.system, person);
    assert.equal(read("grub/custom.cfg"), readFileSync(one.at("/boot/grub/custom.cfg"), "latin1"));
    assert.match(read("grub/grubenv"), /^next_entry=nightlatch-oneshot$/m);
    assert.equal(read("nightlatch/oneshot.cpio"), readFileSync(one.at(OVERLAY), "latin1"));
    await runCommand(disarm, [], one.system);
    assert.doesNotMatch(read("grub/grubenv"), /next_entry/);
  } finally {
    spawnSync("umount", [one.at("/boot")]);
  }
});

test("our part of custom.cfg is what grub-script-check takes", { skip }, async () => {
  const one = grubWorld({ files: { "/boot/grub/custom.cfg": "menuentry 'mine' { true; }\n" } });
  await runCommand(arm, [], one.system, person);
  const checked = spawnSync("grub-script-check", [one.at("/boot/grub/custom.cfg")]);
  assert.equal(checked.status, 0, String(checked.stderr));
  await runCommand(disarm, [], one.system);
  assert.equal(readFileSync(one.at("/boot/grub/custom.cfg"), "utf8"), "menuentry 'mine' { true; }\n");
});
