/**
 * reboot-world.ts with a boot loader: GRUB's own tools on its own files, or systemd-boot's files
 * with a bootctl of ours.
 */
// @ts-nocheck

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { NightlatchError } from "../../../src/core/errors.ts";
import { choose } from "../../../src/formats/grub/default-entry.ts";
import { parseGrubenv } from "../../../src/formats/grub/grubenv.ts";
import { runGrub } from "../../../src/formats/grub/menu.ts";
import type { GrubLinux } from "../../../src/formats/grub/world.ts";
import { parseBlsEntry } from "../../../src/formats/loader/bls.ts";
import { nodeSystem } from "../../../src/system/node.ts";
import type { Exit, RunRequest, System } from "../../../src/system/port.ts";
import { initramfs, inside, noCryptsetup, type World, type WorldOptions, world } from "./world.ts";

const noGrub = spawnSync("grub-editenv", ["--version"]).status === 0 ? false : "grub-editenv is not installed";
export const skip = noCryptsetup || noGrub;

const RELEASE = "6.1.0-50-amd64";
export const KERNEL = `/boot/vmlinuz-${RELEASE}`;
export const INITRD = `/boot/initrd.img-${RELEASE}`;
export const ONE_SHOT = "/sys/firmware/efi/efivars/LoaderEntryOneShot-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";
const LOADER_INFO = "/sys/firmware/efi/efivars/LoaderInfo-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";
/** What grub-mkconfig wrote on a Debian 12. */
export const vector = (name: string) => readFileSync(new URL(`../../vectors/boot/${name}`, import.meta.url), "utf8");

export interface OneshotWorld extends World {
  /** Units that were started, restarted or run, in order. */
  readonly units: string[];
}

export interface OneshotOptions extends WorldOptions {
  /** Of the file system at /boot. */
  readonly mount?: Readonly<Record<string, string>>;
  /** What grub-probe says. */
  readonly abstraction?: string;
  readonly probed?: string;
  readonly freeBytes?: number;
  /** Whether /boot lies on LUKS. */
  readonly encrypted?: boolean;
}

/** GRUB as Debian 12 sets it up, with everything on one file system mounted at /. */
export function grubWorld(options: OneshotOptions = {}): OneshotWorld {
  const base = world({
    ...options,
    files: {
      "/boot/grub/grub.cfg": vector("grub-debian12.cfg"),
      [KERNEL]: "a kernel",
      // A length that is no multiple of 4.
      [INITRD]: Buffer.concat([options.initrd ?? initramfs(inside()), Buffer.alloc(3)]),
      ...options.files,
    },
  });
  if (options.files?.["/boot/grub/grubenv"] === undefined)
    assert.equal(spawnSync("grub-editenv", [base.at("/boot/grub/grubenv"), "create"]).status, 0);
  return withPrograms(base, options, { target: "/", source: "/dev/sda2", fstype: "ext4", uuid: "u", fsroot: "/" });
}

/** systemd-boot with its ESP at /boot. */
export function systemdBootWorld(options: OneshotOptions = {}): OneshotWorld {
  const entry = `title Debian\nsort-key debian\nversion ${RELEASE}\nlinux /linux\ninitrd /initrd\noptions root=/dev/mapper/cryptroot retain_initrd ro\n`;
  const base = world({
    ...options,
    files: {
      [LOADER_INFO]: Buffer.concat([Buffer.alloc(4), Buffer.from("systemd-boot 252.39\0", "utf16le")]),
      "/boot/loader/entries/debian.conf": entry,
      "/boot/linux": "a kernel",
      "/boot/initrd": Buffer.concat([options.initrd ?? initramfs(inside()), Buffer.alloc(3)]),
      ...options.files,
    },
  });
  rmSync(base.at("/boot/grub"), { recursive: true, force: true });
  return withPrograms(base, options, {
    target: "/boot",
    source: "/dev/sda1",
    fstype: "vfat",
    uuid: "A-B",
    fsroot: "/",
  });
}

const PASSED = ["shred", "rmdir", "sync", "grub-editenv"];

function withPrograms(base: World, options: OneshotOptions, mount: Readonly<Record<string, string>>): OneshotWorld {
  const units: string[] = [];
  const root = base.at("/").replace(/\/$/, "");
  const answer = (stdout = "", status = 0): Exit => ({
    status,
    signal: null,
    stdout: Buffer.from(stdout),
    stderr: Buffer.alloc(0),
  });
  const run = async (command: RunRequest): Promise<Exit> => {
    const [program, ...args] = command.argv;
    const paths = args.map((arg) => (/^\/(?:boot|efi)(?:\/|$)/.test(arg) ? base.at(arg) : arg));
    if (PASSED.includes(program) && paths.some((path, index) => path !== args[index])) {
      const exit = await nodeSystem.run({ ...command, argv: [program, ...paths] });
      return { ...exit, stdout: Buffer.from(exit.stdout.toString().replaceAll(root, "")) };
    }
    switch (program) {
      case "findmnt":
        if (args.includes("--target") && args.includes("--json"))
          return answer(JSON.stringify({ filesystems: [{ options: "rw,relatime", ...mount, ...options.mount }] }));
        return base.system.run(command);
      case "lsblk":
        if (!args.includes("--inverse") || args.at(-1) !== mount["source"]) return base.system.run(command);
        return answer(
          JSON.stringify({ blockdevices: [{ fstype: options.encrypted ? "crypto_LUKS" : "x", uuid: "l" }] }),
        );
      case "grub-probe":
        return answer(args.includes("--target=fs") ? (options.probed ?? "ext2\n") : (options.abstraction ?? "\n"));
      case "systemctl":
        if (args[0] === "show") return answer("enabled\n\nenabled\n\nenabled\n");
        if (args[0] === "list-jobs" || args[0] === "is-active") return base.system.run(command);
        units.push(args.join(" "));
        return answer();
      case "systemd-run":
        units.push(command.argv.join(" "));
        return answer();
      case "bootctl":
        return bootctl(base, args, answer);
      default:
        return base.system.run(command);
    }
  };
  return { ...base, units, system: { ...base.system, run, freeBytes: async () => options.freeBytes ?? 1e9 } };
}

/** Lists and chooses as the real one does, for entries that all have, or have not, a sort key. */
function bootctl({ at }: World, args: readonly string[], answer: (stdout?: string, status?: number) => Exit): Exit {
  const chosen = readOneShot(at(ONE_SHOT));
  if (args[0] === "set-oneshot") {
    if (args[1] === "") rmSync(at(ONE_SHOT), { force: true });
    else writeFileSync(at(ONE_SHOT), Buffer.concat([Buffer.alloc(4), Buffer.from(`${args[1]}\0`, "utf16le")]));
    return answer();
  }
  const folder = at("/boot/loader/entries");
  const entries = readdirSync(folder)
    .filter((name) => name.endsWith(".conf"))
    .map((name) => ({ name, entry: parseBlsEntry(name, readFileSync(join(folder, name), "utf8")) }))
    .sort((left, right) => rank(left) - rank(right) || (left.name < right.name ? 1 : -1));
  const first = entries.find(({ name }) => name === chosen) ?? entries[0];
  const rows = entries.map(({ name, entry }) => ({
    type: "type1",
    id: name,
    path: `/boot/loader/entries/${name}`,
    root: "/boot",
    title: entry.title,
    linux: entry.linux,
    initrd: entry.initrds,
    options: entry.options,
    isDefault: name === first?.name,
  }));
  return answer(JSON.stringify(rows));
}

const rank = ({ entry }: { readonly entry: { readonly sortKey: string } }): number => (entry.sortKey === "" ? 1 : 0);

const readOneShot = (path: string): string | null =>
  existsSync(path) ? readFileSync(path).subarray(4).toString("utf16le").replace(/\0.*$/s, "") : null;

export interface Booted {
  readonly id: string;
  readonly kernel: string;
  readonly initrds: readonly string[];
  readonly options: string;
}

/**
 * What GRUB boots from this disk, with what it writes to its environment block on the way written.
 */
export function bootGrub({ at }: World): Booted {
  const files = new Map<string, string>();
  for (const path of ["/boot/grub/custom.cfg", "/boot/nightlatch/oneshot.pad", "/boot/nightlatch/oneshot.cpio"])
    if (existsSync(at(path))) files.set(path, readFileSync(at(path), "latin1") || " ");
  const run = runGrub(readFileSync(at("/boot/grub/grub.cfg"), "utf8"), {
    prefix: "/boot/grub",
    platform: "pc",
    environment: parseGrubenv(readFileSync(at("/boot/grub/grubenv"))),
    files,
    blsEntries: [],
  });
  for (const [name, value] of run.saved)
    assert.equal(spawnSync("grub-editenv", [at("/boot/grub/grubenv"), "set", `${name}=${value}`]).status, 0);
  const entry = choose(run.menu, run.menu.default)?.entry;
  assert.ok(entry?.linux != null);
  return { id: entry.id, ...(entry.linux satisfies GrubLinux) };
}

/** What systemd-boot boots, which takes the one-time choice back before anything else. */
export function bootSystemdBoot(of: World): Booted {
  const rows = JSON.parse(
    bootctl(of, ["list"], (stdout = "") => ({ stdout: Buffer.from(stdout) }) as Exit).stdout.toString(),
  );
  rmSync(of.at(ONE_SHOT), { force: true });
  const row = rows.find((one: { isDefault: boolean }) => one.isDefault);
  return { id: row.id, kernel: row.linux, initrds: row.initrd, options: row.options };
}

/** Every file below a folder of the world, with a digest of its bytes. */
export function snapshot({ at }: World, folder: string): Map<string, string> {
  const root = at(folder);
  const files = existsSync(root) ? readdirSync(root, { recursive: true, withFileTypes: true }) : [];
  return new Map(
    files.map((one) => {
      const path = join(one.parentPath, one.name);
      return [
        path.slice(dirname(root).length),
        one.isFile() ? createHash("sha256").update(readFileSync(path)).digest("hex") : "folder",
      ];
    }),
  );
}

/** The system whose change of that number fails; what was changed before stays. */
export function failingAt(system: System, failAt: number): { readonly system: System; readonly count: () => number } {
  let count = 0;
  const change = <T>(act: () => Promise<T>): Promise<T> => {
    if (++count === failAt) throw new NightlatchError("file/io", "the test fails it");
    return act();
  };
  const isChange = ({ argv }: RunRequest) =>
    argv.some((arg) =>
      ["luksAddKey", "config", "luksKillSlot", "import", "remove", "set", "unset", "set-oneshot"].includes(arg),
    ) || argv[0] === "shred";
  const faulty: System = {
    ...system,
    run: async (command) => (isChange(command) ? change(() => system.run(command)) : system.run(command)),
    writeFile: async (path, bytes, mode) => change(() => system.writeFile(path, bytes, mode)),
    removeFile: async (path) => change(() => system.removeFile(path)),
    makeDirectory: async (path, mode) => change(() => system.makeDirectory(path, mode)),
  };
  return { system: faulty, count: () => count };
}

/** Makes a file of the world, with its folders. */
export function put({ at }: World, path: string, content: string | Buffer): void {
  mkdirSync(dirname(at(path)), { recursive: true });
  writeFileSync(at(path), content);
}
