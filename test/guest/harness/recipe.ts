/** What a guest is made of, as data: the digest of its image covers all of it. */
export interface Recipe {
  /** For file names and messages. */
  readonly name: string;
  readonly suite: Suite;
  /**
   * Packages beside the minimal base, one apt-get call a list, in this order, no recommendations.
   */
  readonly packages: readonly (readonly string[])[];
  /**
   * Files written before the packages are installed: path in the guest → contents, and a mode where
   * it is not 0644.
   */
  readonly files: Readonly<Record<string, GuestFile>>;
  /** Shell lines run in the tree at the end. */
  readonly finish: readonly string[];
}

export type Suite = "bookworm" | "trixie" | "forky";

export interface GuestFile {
  readonly text: string;
  readonly mode?: number;
}

export const RELEASES: Readonly<Record<Suite, string>> = {
  bookworm: "Debian 12",
  trixie: "Debian 13",
  forky: "Debian testing (forky)",
};

/** Whether the suite's packages are others from one day to the next (moving.ts). */
export const moves = (suite: Suite): boolean => suite === "forky";

/**
 * What Debian 12's systemd holds, or needs, and a later one splits off or only recommends; a
 * machine of Debian's has it. Without libseccomp2 a unit's system call filter is left out, without
 * libkmod2 udev loads no module.
 */
export const SPLIT_OFF: Readonly<Record<Suite, readonly string[]>> = {
  bookworm: [],
  trixie: ["systemd-cryptsetup"],
  forky: ["systemd-cryptsetup", "libseccomp2", "libkmod2", "libacl1", "libpam0g", "libcrypt1"],
};

/**
 * Few modules make a small initramfs, and under emulation its size is seconds. The root disk's
 * driver is all that it needs.
 */
const SMALL_INITRAMFS: Readonly<Record<string, GuestFile>> = {
  "/etc/initramfs-tools/conf.d/guest": { text: "MODULES=list\nCOMPRESS=zstd\nRESUME=none\n" },
  "/etc/initramfs-tools/modules": { text: "virtio_pci\nvirtio_blk\next4\n" },
};

/**
 * A machine that boots quickly from a plain root and opens its data volumes with systemd, as Debian
 * sets it up.
 */
export function dataGuest(suite: Suite): Recipe {
  // What others open our volumes with; the interop tests have the clevis of a suite that stands
  // still.
  const peers = moves(suite) ? ["clevis-luks"] : [];
  return {
    name: `data-${suite}`,
    suite,
    packages: [[...SYSTEM, ...OUR_DEPENDENCIES, ...peers, ...SPLIT_OFF[suite]], [KERNEL]],
    files: SMALL_INITRAMFS,
    finish: [],
  };
}

const SYSTEM = ["systemd-sysv", "udev", "kmod", "zstd", "initramfs-tools", "cryptsetup", "iproute2", "e2fsprogs"];

/** What our package needs beside a minimal system, and curl for the key sources that run it. */
export const OUR_DEPENDENCIES = ["cryptsetup-bin", "libatomic1", "libstdc++6", "curl"];

/** Has virtio, dm-crypt and kexec, and a quarter of the general kernel's modules. */
export const KERNEL = "linux-image-cloud-amd64";
