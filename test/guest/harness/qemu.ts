import type { Accelerator } from "./accelerator.ts";

/** A disk of the machine. The first is /dev/vda; each is also /dev/disk/by-id/virtio-<serial>. */
export interface Disk {
  readonly file: string;
  readonly format: "raw" | "qcow2";
  /** At most 20 characters. */
  readonly serial: string;
  /** The firmware boots from this one. */
  readonly boots?: boolean;
}

/**
 * A TCP service of the host that the guest reaches at an address of its own network; there is
 * nothing else on that network.
 */
export interface Forward {
  /** e.g. 10.0.2.100 */
  readonly guestAddress: string;
  readonly guestPort: number;
  /** On the host's 127.0.0.1. */
  readonly hostPort: number;
}

export interface Hardware {
  readonly accelerator: Accelerator;
  readonly memoryMiB: number;
  readonly disks: readonly Disk[];
  readonly forwards: readonly Forward[];
  /** Unix sockets that listen for QEMU. */
  readonly sockets: { readonly console: string; readonly shell: string; readonly control: string };
  /** A kernel started by QEMU itself; without it the firmware boots the disk that says so. */
  readonly directBoot: DirectBoot | null;
  readonly board?: Board;
  /** Further arguments: firmware, a TPM. */
  readonly extra: readonly string[];
}

/**
 * The second has the memory that only the firmware reaches (SMM), without which anybody could write
 * Secure Boot's variables.
 */
export type Board = "pc" | "q35,smm=on";

export interface DirectBoot {
  readonly kernel: string;
  readonly initramfs: string;
  readonly commandLine: string;
}

/**
 * Only networks of this range exist in the guest (QEMU's own default, restricted to the forwards).
 */
export const HOST_ADDRESS = "10.0.2.100";

export function qemuArguments(hardware: Hardware): string[] {
  const { sockets, directBoot } = hardware;
  const forwards = hardware.forwards.map(
    ({ guestAddress, guestPort, hostPort }) =>
      `guestfwd=tcp:${guestAddress}:${guestPort}-cmd:socat STDIO TCP:127.0.0.1:${hostPort}`,
  );
  // QEMU 7.2's emulation of cmpxchg16b is wrong, and Debian 13's kernel dies of it.
  const cpu = hardware.accelerator === "kvm" ? "host" : "max,-cx16";
  // Code that QEMU has translated stays until its buffer is full, through reboots too. Where data
  // lies now that was code once, each write is slow until then: with the buffer as large as it
  // comes modprobe hung for 48 s (the kernel's own "soft lockup"), and reboots for minutes.
  const accelerator = hardware.accelerator === "kvm" ? "kvm" : "tcg,tb-size=256";
  const board = hardware.board ?? "pc";
  const argv = ["-nodefaults", "-display", "none", "-machine", board, "-accel", accelerator, "-cpu", cpu];
  // A kernel patches its own code while it runs. QEMU's emulation of several processors can miss
  // that on another one, which then jumps to itself for ever (seen: a soft lockup at a patched jump
  // of sk_filter_trim_cap); with one there is no other.
  argv.push(
    "-smp",
    hardware.accelerator === "kvm" ? "2" : "1",
    "-m",
    `${hardware.memoryMiB}`,
    "-device",
    "virtio-rng-pci",
  );
  argv.push("-nic", ["user", "model=virtio-net-pci", "restrict=on", ...forwards].join(","));
  for (const [index, disk] of hardware.disks.entries()) {
    const file = disk.file.replaceAll(",", ",,");
    argv.push("-drive", `if=none,id=disk${index},file=${file},format=${disk.format},cache=unsafe`);
    argv.push("-device", `virtio-blk-pci,drive=disk${index},serial=${disk.serial}${disk.boots ? ",bootindex=0" : ""}`);
  }
  argv.push("-chardev", `socket,id=console,path=${sockets.console}`, "-serial", "chardev:console");
  argv.push("-chardev", `socket,id=shell,path=${sockets.shell}`, "-device", "virtio-serial-pci");
  argv.push("-device", "virtserialport,chardev=shell,name=org.nightlatch.test");
  argv.push("-chardev", `socket,id=control,path=${sockets.control}`, "-mon", "chardev=control,mode=control");
  if (directBoot !== null) {
    argv.push("-kernel", directBoot.kernel, "-initrd", directBoot.initramfs, "-append", directBoot.commandLine);
  }
  return [...argv, ...hardware.extra];
}
