import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { NO_WISH } from "../../src/boot/entries.ts";
import { isError, NightlatchError } from "../../src/core/errors.ts";
import { Secret } from "../../src/core/secret.ts";
import { CpioReader, writeCpio } from "../../src/formats/cpio.ts";
import { walkInitramfs } from "../../src/formats/initramfs.ts";
import { readVolumeHeader } from "../../src/luks/header.ts";
import { opensSlot } from "../../src/luks/keyslots.ts";
import { listSlots } from "../../src/luks/slots.ts";
import { findAuthorities } from "../../src/reboot/authority.ts";
import { KEXEC } from "../../src/reboot/carrier-kexec.ts";
import { cleanUp, listDisposables } from "../../src/reboot/clean-up.ts";
import { planReboot } from "../../src/reboot/plan.ts";
import { stageBoot } from "../../src/reboot/stage.ts";
import { nodeSystem } from "../../src/system/node.ts";
import type { Command, Exit, System } from "../../src/system/port.ts";

const skip = spawnSync("cryptsetup", ["--version"]).status === 0 ? false : "cryptsetup is not installed";
const folder = mkdtempSync(join(tmpdir(), "nightlatch-stage-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const PASSPHRASE = "one for all";
const BOOT = "99999999-2222-3333-4444-555555555555";
const device = (name: string) => join(folder, "devices", name);
const NAMES = ["root", "swap", "data"];
const UUIDS: Record<string, string> = {};

before(async () => {
  if (skip !== false) return;
  mkdirSync(join(folder, "devices"));
  for (const name of NAMES) {
    writeFileSync(device(name), "");
    truncateSync(device(name), 20 << 20);
    const fast = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", "--key-file", "-"];
    const made = spawnSync(
      "cryptsetup",
      ["luksFormat", "-q", "--type", name === "swap" ? "luks1" : "luks2", ...fast, device(name)],
      { input: PASSPHRASE },
    );
    assert.equal(made.status, 0, String(made.stderr));
    UUIDS[name] = (await readVolumeHeader(nodeSystem, device(name))).uuid;
  }
});

const file = (name: string, text = "") => ({ name, mode: 0o644, content: Buffer.from(text) });
const initramfs = (crypttab: string, ...more: string[]) =>
  writeCpio([
    ...["conf/initramfs.conf", "scripts/functions", "scripts/local-top/cryptroot", "usr/sbin/cryptsetup", ...more].map(
      (name) => file(name),
    ),
    file("cryptroot/crypttab", crypttab),
  ]);

interface World {
  readonly system: System;
  /** Programs that change something, in order. */
  readonly changes: (readonly string[])[];
  /** The initramfs that kexec was given. */
  readonly loaded: Buffer[];
}

interface WorldOptions {
  readonly crypttab?: string;
  readonly initrd?: Buffer;
  /** Throws at the change of that number; it does not happen. */
  readonly failAt?: number;
}

const inside = () => `cryptroot ${device("root")} none luks\ncryptswap ${device("swap")} none luks,swap\n`;

/** This machine with other disks, another /boot and another kexec. */
function world({
  crypttab = `data ${device("data")} none luks\n`,
  initrd = initramfs(inside()),
  failAt = 0,
}: WorldOptions = {}): World {
  const root = mkdtempSync(join(folder, "world-"));
  const files: Record<string, string | Buffer> = {
    "/etc/crypttab": crypttab,
    "/boot/grub/grub.cfg":
      "menuentry Debian { linux /boot/vmlinuz root=/dev/mapper/cryptroot retain_initrd ro\ninitrd /boot/initrd }",
    "/boot/vmlinuz": "a kernel",
    "/boot/initrd": initrd,
    "/sys/kernel/kexec_loaded": "0\n",
    "/sys/kernel/security/lockdown": "[none] integrity confidentiality\n",
    "/proc/sys/kernel/random/boot_id": `${BOOT}\n`,
  };
  const at = (path: string) => (path.startsWith(folder) ? path : join(root, path));
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(at(path)), { recursive: true });
    writeFileSync(at(path), content);
  }
  const changes: (readonly string[])[] = [];
  const loaded: Buffer[] = [];
  let mounted = false;
  const answer = (stdout = ""): Exit => ({
    status: 0,
    signal: null,
    stdout: Buffer.from(stdout),
    stderr: Buffer.alloc(0),
  });
  const change = async <T>(argv: readonly string[], act: () => Promise<T>): Promise<T> => {
    changes.push(argv);
    if (changes.length === failAt) throw new NightlatchError("file/io", "the test fails it");
    return act();
  };
  const run = async (command: Command): Promise<Exit> => {
    const [program, ...args] = command.argv;
    switch (program) {
      case "findmnt":
        return answer(
          args.includes("SOURCE")
            ? "/dev/mapper/cryptroot\n"
            : JSON.stringify({ filesystems: [{ target: "/", uuid: "u", fsroot: "/" }] }),
        );
      case "lsblk":
        return answer(
          args.includes("PATH,FSTYPE")
            ? JSON.stringify({ blockdevices: NAMES.map((name) => ({ path: device(name), fstype: "crypto_LUKS" })) })
            : JSON.stringify({
                blockdevices: [
                  {
                    name: "x",
                    fstype: "ext4",
                    uuid: "e",
                    children: [{ name: "y", fstype: "crypto_LUKS", uuid: UUIDS["root"] }],
                  },
                ],
              }),
        );
      case "mountpoint":
        return { ...answer(), status: mounted ? 0 : 32 };
      case "mount":
      case "umount":
        return change(command.argv, async () => {
          mounted = program === "mount";
          if (!mounted) rmSync(at("/run/nightlatch-reboot/kexec/initrd"), { force: true });
          return answer();
        });
      case "shred":
        return change(command.argv, async () => answer());
      case "kexec":
        return change(command.argv, async () => {
          if (args.includes("-l"))
            loaded.push(await nodeSystem.readFile(at("/run/nightlatch-reboot/kexec/initrd"), 1 << 24));
          writeFileSync(at("/sys/kernel/kexec_loaded"), args.includes("-l") ? "1\n" : "0\n");
          return answer();
        });
      default: {
        const isChange = ["luksAddKey", "luksKillSlot", "import", "remove"].some((word) => args.includes(word));
        return isChange ? change(command.argv, () => nodeSystem.run(command)) : nodeSystem.run(command);
      }
    }
  };
  const system: System = {
    ...nodeSystem,
    run,
    stat: (path) => nodeSystem.stat(at(path)),
    readFile: (path, limitBytes) => nodeSystem.readFile(at(path), limitBytes),
    readAt: (path, offset, length) => nodeSystem.readAt(at(path), offset, length),
    listDirectory: (path) => nodeSystem.listDirectory(at(path)),
    makeDirectory: (path, mode) => nodeSystem.makeDirectory(at(path), mode),
    lock: (path, waitMs) => nodeSystem.lock(at(path), waitMs),
    writeFile: (path, bytes, mode) => change(["write", path], () => nodeSystem.writeFile(at(path), bytes, mode)),
    removeFile: (path) => change(["remove", path], () => nodeSystem.removeFile(at(path))),
  };
  return { system, changes, loaded };
}

const nothing = async () => null;
const passphrase = (text = PASSPHRASE) => Secret.copy(Buffer.from(text));
const context = { stateFolder: "/var/lib/nightlatch", bootId: BOOT, expires: 4_000_000_000 };
const stage = async ({ system }: World) => {
  const plan = await planReboot(system, NO_WISH);
  return stageBoot(
    system,
    await KEXEC.prepare(system, plan),
    plan,
    await findAuthorities(system, plan.volumes, [passphrase()], nothing, null),
    context,
    () => {},
  );
};
const slots = () => Promise.all(NAMES.map(async (name) => listSlots(await readVolumeHeader(nodeSystem, device(name)))));

test("the plan: what the initramfs opens, then what the system opens", { skip }, async () => {
  const random = `tmp ${device("data")} /dev/urandom swap\n`;
  const rest = `gone UUID=0-0 none luks,nofail\nlater ${device("data")} none luks,noauto\n`;
  const { system } = world({
    crypttab: `cryptroot ${device("root")} none luks\ndata ${device("data")} none luks\n${random}${rest}`,
  });
  const plan = await planReboot(system, NO_WISH);
  assert.deepEqual(
    plan.volumes.map(({ name, found, line, opening }) => [name, found.device, line !== null, opening.kind]),
    [
      ["cryptroot", device("root"), true, "disposable"],
      ["cryptswap", device("swap"), true, "disposable"],
      ["data", device("data"), false, "disposable"],
      ["tmp", device("data"), false, "itself"],
    ],
  );
  assert.equal(plan.cmdline, "root=/dev/mapper/cryptroot ro");
  assert.equal(plan.stack, "initramfs-tools");
});

test("the plan is refused where the boot would wait for a person, or find no root", { skip }, async () => {
  const keyFile = join(folder, "key-file");
  const refused: [WorldOptions, string, RegExp][] = [
    [{ crypttab: `data ${device("data")} /no/such/file luks\n` }, "reboot/blocked", /data .* would ask for its key/],
    [{ crypttab: `data ${device("data")} ${keyFile} luks\n` }, "reboot/blocked", /would ask for its key/],
    [{ crypttab: "data UUID=0-0 none luks\n" }, "reboot/blocked", /its device UUID=0-0 is not there/],
    [{ crypttab: `data ${device("data")} none luks,header=/h\n` }, "reboot/blocked", /header in a file of its own/],
    [
      { initrd: initramfs(`cryptswap ${device("swap")} none luks\n`) },
      "reboot/blocked",
      /does not open .*, on which the root lies/,
    ],
    [
      { initrd: writeCpio([file("conf/initramfs.conf"), file("scripts/functions")]) },
      "boot/no-cryptsetup",
      /holds no cryptsetup/,
    ],
    [{ initrd: writeCpio([file("init")]) }, "boot/unsupported", /no generator that is known/],
  ];
  writeFileSync(keyFile, "not the key");
  for (const [options, code, message] of refused) {
    await assert.rejects(
      planReboot(world(options).system, NO_WISH),
      (error) => isError(error) && error.code === code && message.test(error.message),
      code,
    );
  }
  writeFileSync(keyFile, PASSPHRASE);
  const plan = await planReboot(world({ crypttab: `data ${device("data")} ${keyFile} luks\n` }).system, NO_WISH);
  assert.deepEqual(plan.volumes.at(-1)?.opening, { kind: "itself", why: `key file ${keyFile}` });
});

test("one passphrase is asked once, a wrong one three times, and nothing is changed by it", { skip }, async () => {
  const { system } = world();
  const { volumes } = await planReboot(system, NO_WISH);
  const asked: string[] = [];
  const ask = (text: string) => async (volume: { name: string }) => {
    asked.push(volume.name);
    return passphrase(text);
  };
  const known: Secret[] = [];
  const found = await findAuthorities(system, volumes, known, nothing, ask(PASSPHRASE));
  assert.deepEqual(asked, ["cryptroot"]);
  assert.equal(found.size, 3);
  assert.equal(known.length, 1);
  asked.length = 0;
  const bound = async () => ({ passphrase: passphrase(), slot: 0 });
  assert.equal((await findAuthorities(system, volumes, [], bound, null)).size, 3);
  await assert.rejects(findAuthorities(system, volumes, [], nothing, ask("wrong")), (error) =>
    isError(error, "reboot/wrong-key"),
  );
  assert.deepEqual(asked, ["cryptroot", "cryptroot", "cryptroot"]);
});

test("staged: the loaded initramfs is the old one, then keys that open; taken back, all is as before", {
  skip,
}, async () => {
  const one = world();
  const before = await slots();
  await stage(one);
  const [loaded] = one.loaded;
  assert.ok(loaded !== undefined);
  const parts = walkInitramfs(loaded);
  assert.equal(parts.length, 2);
  assert.deepEqual(loaded.subarray(0, parts[0]?.lengthBytes), initramfs(inside()));
  const keys = new Map<string, Buffer>();
  new CpioReader(
    ({ name }) => name.endsWith(".key"),
    ({ name }, content) => content !== null && keys.set(name, content),
  ).push(loaded.subarray(parts[1]?.offsetBytes));
  assert.deepEqual([...keys.keys()], ["nightlatch/0.key", "nightlatch/1.key", "nightlatch/later/data.key"]);
  const staged = await listDisposables(one.system, context.stateFolder);
  assert.deepEqual(
    staged.map((found) => found.device),
    NAMES.map(device),
  );
  for (const [index, key] of [...keys.values()].entries()) {
    const found = staged[index];
    assert.ok(found !== undefined);
    assert.equal(await opensSlot(nodeSystem, found, found.record.slot, Secret.copy(key)), true);
  }
  const inMemory = "/run/nightlatch-reboot/kexec";
  assert.deepEqual(
    one.changes.filter(([program]) => ["mount", "kexec", "shred", "umount"].includes(String(program))),
    [
      ["mount", "-t", "ramfs", "-o", "mode=0700", "nightlatch", inMemory],
      [
        "kexec",
        "-s",
        "-l",
        `${inMemory}/kernel`,
        `--initrd=${inMemory}/initrd`,
        "--command-line=root=/dev/mapper/cryptroot ro",
      ],
      ["shred", "--iterations=0", "--zero", `${inMemory}/initrd`],
      ["umount", inMemory],
    ],
  );
  const fresh = await cleanUp(one.system, context.stateFolder, false);
  assert.deepEqual(fresh.removed, []);
  const { removed, failures } = await cleanUp(one.system, context.stateFolder, true);
  assert.deepEqual([removed.length, failures], [3, []]);
  assert.deepEqual(await slots(), before);
  assert.equal((await one.system.readFile("/sys/kernel/kexec_loaded", 9)).toString(), "0\n");
});

test("a step that fails, whichever it is, leaves nothing behind", { skip }, async () => {
  const before = await slots();
  const total = world();
  await stage(total);
  const steps = total.changes.length;
  await cleanUp(total.system, context.stateFolder, true);
  assert.ok(steps >= 10, String(steps));
  for (let failAt = 1; failAt <= steps; failAt++) {
    const one = world({ failAt });
    await assert.rejects(stage(one), (error) => isError(error, "file/io"), `step ${failAt}`);
    assert.deepEqual(await slots(), before, `step ${failAt}`);
    assert.deepEqual(await listDisposables(one.system, context.stateFolder), [], `step ${failAt}`);
    assert.equal((await one.system.readFile("/sys/kernel/kexec_loaded", 9)).toString(), "0\n");
    await cleanUp(one.system, context.stateFolder, true);
    assert.equal(await one.system.stat("/run/nightlatch-reboot/kexec/initrd"), null, `step ${failAt}`);
  }
});

test("what another boot staged is stale; what has expired is, too", { skip }, async () => {
  const before = await slots();
  const one = world();
  const plan = await planReboot(one.system, NO_WISH);
  const staged = async (changed: Partial<typeof context>) => {
    const authorities = await findAuthorities(one.system, plan.volumes, [passphrase()], nothing, null);
    const carry = await KEXEC.prepare(one.system, plan);
    await stageBoot(one.system, carry, plan, authorities, { ...context, ...changed }, () => {});
    return cleanUp(one.system, context.stateFolder, false);
  };
  assert.equal((await staged({ bootId: "11111111-2222-3333-4444-555555555555" })).removed.length, 3);
  assert.deepEqual(await slots(), before);
  assert.equal((await staged({ expires: 1 })).removed.length, 3);
  assert.deepEqual(await slots(), before);
  assert.equal((await one.system.readFile("/sys/kernel/kexec_loaded", 9)).toString(), "0\n");
});
