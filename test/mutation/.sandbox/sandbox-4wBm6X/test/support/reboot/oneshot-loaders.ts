// @ts-nocheck
import { readFileSync } from "node:fs";
import { CpioReader } from "../../../src/formats/initramfs/cpio.ts";
import { walkInitramfs } from "../initramfs-parts.ts";
import {
  type Booted,
  bootGrub,
  bootSystemdBoot,
  grubWorld,
  INITRD,
  KERNEL,
  type OneshotOptions,
  type OneshotWorld,
  put,
  systemdBootWorld,
} from "./oneshot-world.ts";
import { PASSPHRASE } from "./world.ts";

export const STATE = "/var/lib/nightlatch/machine";
export const PAD = "/boot/nightlatch/oneshot.pad";
export const OVERLAY = "/boot/nightlatch/oneshot.cpio";
export const person = { passphrase: PASSPHRASE, agrees: true };
export const nextBoot = (one: OneshotWorld) =>
  put(one, "/proc/sys/kernel/random/boot_id", "77777777-2222-3333-4444-555555555555\n");

export interface Loader {
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

export const LOADERS: readonly Loader[] = [
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

/**
 * What the kernel gets, by a loader that pads between initrds (GRUB, systemd-boot since 256.6) and
 * by one that does not.
 */
export function loadedInitramfs(one: OneshotWorld, { root }: Loader, { initrds }: Booted, pads: boolean): Buffer {
  const parts = initrds.map((path) => readFileSync(one.at(`${root}${path}`)));
  return Buffer.concat(parts.flatMap((part) => [part, Buffer.alloc(pads ? -part.length & 3 : 0)]));
}

export function keysOf(initramfs_: Buffer): Map<string, Buffer> {
  const keys = new Map<string, Buffer>();
  for (const { startBytes, endBytes } of walkInitramfs(initramfs_)) {
    const reader = new CpioReader(
      ({ name }) => name.endsWith(".key"),
      ({ name }, content) => content !== null && keys.set(name, content),
    );
    reader.push(initramfs_.subarray(startBytes, endBytes));
  }
  return keys;
}
