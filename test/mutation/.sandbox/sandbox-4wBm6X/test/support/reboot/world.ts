/**
 * This machine with other disks, another /boot and another kexec; what is real: headers,
 * cryptsetup, decompressors, servers.
 */
// @ts-nocheck

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { NightlatchError } from "../../../src/core/errors.ts";
import { writeCpio } from "../../../src/formats/initramfs/cpio.ts";
import { readVolumeHeader } from "../../../src/luks/header/header.ts";
import { listSlots } from "../../../src/luks/header/slots.ts";
import { nodeSystem } from "../../../src/system/node.ts";
import type { Exit, RunRequest, System } from "../../../src/system/port.ts";

export const noCryptsetup = spawnSync("cryptsetup", ["--version"]).status === 0 ? false : "cryptsetup is not installed";
export const folder = mkdtempSync(join(tmpdir(), "nightlatch-stage-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));

export const PASSPHRASE = "one for all";
export const BOOT = "99999999-2222-3333-4444-555555555555";
export const NAMES = ["root", "swap", "data"];
export const device = (name: string): string => join(folder, "devices", name);
const UUIDS: Record<string, string> = {};

/** The keyslots of every device. */
export const slots = () =>
  Promise.all(NAMES.map(async (name) => listSlots(await readVolumeHeader(nodeSystem, device(name)))));

/** root and data of LUKS2, swap of LUKS1, all opened by PASSPHRASE. */
export async function makeDevices(): Promise<void> {
  mkdirSync(join(folder, "devices"));
  for (const name of NAMES) {
    writeFileSync(device(name), "");
    truncateSync(device(name), 20 << 20);
    // More than a random key's slot has, of which there may be as many as you like.
    const kdf = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "4000", "--key-file", "-"];
    const made = spawnSync(
      "cryptsetup",
      ["luksFormat", "-q", "--type", name === "swap" ? "luks1" : "luks2", ...kdf, device(name)],
      { input: PASSPHRASE },
    );
    assert.equal(made.status, 0, String(made.stderr));
    UUIDS[name] = (await readVolumeHeader(nodeSystem, device(name))).uuid;
  }
}

export const file = (name: string, text = "") => ({ name, mode: 0o644, content: Buffer.from(text) });
/** As initramfs-tools makes it, with more files in it. */
export const initramfs = (crypttab: string, ...more: string[]) =>
  writeCpio([
    ...["conf/initramfs.conf", "scripts/functions", "scripts/local-top/cryptroot", "usr/sbin/cryptsetup", ...more].map(
      (name) => file(name),
    ),
    file("cryptroot/crypttab", crypttab),
  ]);

export interface World {
  readonly system: System;
  /** Programs that change something, in order. */
  readonly changes: (readonly string[])[];
  /** The initramfs that kexec was given. */
  readonly loaded: Buffer[];
  /** Where a path of this world really is. */
  readonly at: (path: string) => string;
}

export interface WorldOptions {
  readonly crypttab?: string;
  readonly initrd?: Buffer;
  /** Throws at the change of that number; it does not happen. */
  readonly failAt?: number;
  /** More files, or others. */
  readonly files?: Readonly<Record<string, string | Buffer>>;
  /** Answers programs before anything else does; undefined for those that it leaves alone. */
  readonly programs?: (argv: readonly string[]) => string | undefined;
}

/** The initramfs's crypttab. */
export const inside = () => `cryptroot ${device("root")} none luks\ncryptswap ${device("swap")} none luks,swap\n`;

export function world({
  crypttab = `data ${device("data")} none luks\n`,
  initrd = initramfs(inside()),
  failAt = 0,
  files: more = {},
  programs = () => undefined,
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
    ...more,
  };
  const at = (path: string) => (path.startsWith(folder) ? path : join(root, path));
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(at(path)), { recursive: true });
    writeFileSync(at(path), content);
  }
  /** A path as it is in this world, whose own root lies in a folder of the test's. */
  const named = <T extends string | null>(path: T): T | string =>
    path?.startsWith(`${root}/`) === true ? path.slice(root.length) : path;
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
  const run = async (command: RunRequest): Promise<Exit> => {
    const [program, ...args] = command.argv;
    const said = programs(command.argv);
    if (said !== undefined) return answer(said);
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
      case "busctl": // there is no logind
        return { ...answer(), status: 1 };
      case "systemctl": // nothing is queued, nothing runs
        return { ...answer(), status: args[0] === "list-jobs" ? 0 : 3 };
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
        const isChange = ["luksAddKey", "config", "luksKillSlot", "import", "remove"].some((word) =>
          args.includes(word),
        );
        return isChange ? change(command.argv, () => nodeSystem.run(command)) : nodeSystem.run(command);
      }
    }
  };
  const system: System = {
    ...nodeSystem,
    run,
    stat: (path) => nodeSystem.stat(at(path)),
    lstat: (path) => nodeSystem.lstat(at(path)),
    realPath: async (path) => named(await nodeSystem.realPath(at(path))),
    freeBytes: (path) => nodeSystem.freeBytes(at(path)),
    findExposures: async (wanted) => {
      const found = await nodeSystem.findExposures(wanted.map((one) => ({ ...one, path: at(one.path) })));
      return found.map((one) => ({ ...one, path: named(one.path) }));
    },
    readFile: (path, limitBytes) => nodeSystem.readFile(at(path), limitBytes),
    readFileIfPresent: (path, limitBytes) => nodeSystem.readFileIfPresent(at(path), limitBytes),
    readAt: (path, offset, length) => nodeSystem.readAt(at(path), offset, length),
    listDirectory: (path) => nodeSystem.listDirectory(at(path)),
    makeDirectory: (path, mode) => nodeSystem.makeDirectory(at(path), mode),
    lock: (path, waitMs) => nodeSystem.lock(at(path), waitMs),
    writeFile: (path, bytes, mode) => change(["write", path], () => nodeSystem.writeFile(at(path), bytes, mode)),
    removeFile: (path) => change(["remove", path], () => nodeSystem.removeFile(at(path))),
  };
  return { system, changes, loaded, at };
}

/**
 * A network card of the world's, and the kernel's module that drives it, as the links of sysfs tell
 * it.
 */
export function plugCard({ at }: Pick<World, "at">, name: string, driver: string): void {
  const link = (target: string, path: string) => {
    mkdirSync(dirname(at(path)), { recursive: true });
    symlinkSync(relative(dirname(at(path)), at(target)), at(path));
  };
  mkdirSync(at(`/sys/module/${driver}`), { recursive: true });
  mkdirSync(at(`/sys/bus/drivers/${driver}`), { recursive: true });
  link(`/sys/bus/drivers/${driver}`, `/sys/class/net/${name}/device/driver`);
  link(`/sys/module/${driver}`, `/sys/bus/drivers/${driver}/module`);
}
