/**
 * The boot loaders of guests that a firmware boots, as data: what each needs in the tree, on its
 * disk, and done once in the running guest.
 */
import { type GuestFile, KERNEL } from "./recipe.ts";

export type Loader = "grub-bios" | "grub-efi" | "systemd-boot" | "shim" | "uki";

export interface LoaderKind {
  readonly packages: readonly string[];
  /** The boot disk's partition table. */
  readonly label: "dos" | "gpt";
  /** OVMF; else SeaBIOS. */
  readonly uefi: boolean;
  /** Whether OVMF has Microsoft's keys and checks what it starts. */
  readonly secureBoot?: true;
  /** Whether a newer kernel than the one that it starts with waits in UPDATE_FOLDER. */
  readonly hasUpdate: boolean;
  /** Whether /boot is a partition of the boot disk; else it is in the encrypted root. */
  readonly ownBoot: boolean;
  readonly espMiB: number | null;
  /** `words`: what its entries say to the kernel beside the usual. */
  readonly files: (words: string) => Readonly<Record<string, GuestFile>>;
  /** Run as root in the guest that QEMU's direct boot started; the boot disk is /dev/vdd. */
  readonly install: string;
}

export const ESP_VOLUME_ID = "10000005";
export const ESP_UUID = "1000-0005";

/**
 * What every loader's entry says to the kernel: little on the console but how systemd gets on, and
 * no more work than needed.
 */
export const FIRMWARE_CMDLINE = "console=ttyS0 quiet loglevel=4 systemd.show_status=true mitigations=off panic=5";

const GRUB_DEFAULTS = [
  "GRUB_DEFAULT=0",
  "GRUB_TIMEOUT=1",
  "GRUB_DISABLE_LINUX_UUID=true",
  "GRUB_DISABLE_OS_PROBER=true",
];

const withWords = (words: string): string => [FIRMWARE_CMDLINE, words].filter(Boolean).join(" ");

const grubDefaults =
  (...more: readonly string[]): LoaderKind["files"] =>
  (words) => ({
    "/etc/default/grub": {
      text: `${[...GRUB_DEFAULTS, `GRUB_CMDLINE_LINUX="${withWords(words)}"`, ...more].join("\n")}\n`,
    },
  });

export const LOADERS: Readonly<Record<Loader, LoaderKind>> = {
  "grub-bios": {
    packages: ["grub-pc-bin"],
    label: "dos",
    uefi: false,
    hasUpdate: true,
    ownBoot: true,
    espMiB: null,
    files: grubDefaults('GRUB_TERMINAL="serial console"', 'GRUB_SERIAL_COMMAND="serial --unit=0 --speed=115200"'),
    install: "grub-install --target=i386-pc /dev/vdd && update-grub",
  },
  "grub-efi": {
    packages: ["grub-efi-amd64-bin", "dosfstools"],
    label: "gpt",
    uefi: true,
    hasUpdate: true,
    ownBoot: true,
    espMiB: 64,
    // OVMF shows its console on the serial line by itself.
    files: grubDefaults("GRUB_TERMINAL=console"),
    install: "grub-install --target=x86_64-efi --efi-directory=/boot/efi --removable --no-nvram && update-grub",
  },
  "systemd-boot": {
    packages: ["systemd-boot", "dosfstools"],
    label: "gpt",
    uefi: true,
    hasUpdate: true,
    ownBoot: false,
    espMiB: 300,
    files: (words) => ({
      "/etc/kernel/cmdline": { text: `root=/dev/mapper/cryptroot ro ${withWords(words)}\n` },
    }),
    install: [
      "set -e",
      "bootctl --no-variables install",
      "echo timeout 1 >/boot/efi/loader/loader.conf",
      "for kernel in /boot/vmlinuz-*; do",
      '  release="$' + '{kernel#/boot/vmlinuz-}"',
      '  kernel-install add "$release" "$kernel" "/boot/initrd.img-$release"',
      "done",
    ].join("\n"),
  },
  // Debian's own chain: Microsoft's key vouches for shim, shim for GRUB and for the kernel.
  shim: {
    packages: ["shim-signed", "grub-efi-amd64-signed", "grub-efi-amd64-bin", "mokutil", "dosfstools"],
    label: "gpt",
    uefi: true,
    secureBoot: true,
    hasUpdate: false,
    ownBoot: true,
    espMiB: 64,
    files: grubDefaults("GRUB_TERMINAL=console"),
    install: [
      "grub-install --target=x86_64-efi --efi-directory=/boot/efi --bootloader-id=debian --uefi-secure-boot \\",
      "  --force-extra-removable --no-nvram && update-grub",
    ].join("\n"),
  },
  // Unified kernel images, which systemd-boot starts.
  uki: {
    packages: ["systemd-boot", "systemd-boot-efi", "systemd-ukify", "dosfstools"],
    label: "gpt",
    uefi: true,
    hasUpdate: false,
    ownBoot: false,
    espMiB: 300,
    // The stub puts no word of its own in front. A line that began with root= would pass for one of
    // a kexec (reboot-machine.ts).
    files: (words) => ({
      "/etc/kernel/cmdline": { text: `ro root=/dev/mapper/cryptroot ${withWords(words)}\n` },
      "/etc/kernel/install.conf": {
        text: "layout=uki\nuki_generator=ukify\ninitrd_generator=none\nBOOT_ROOT=/boot/efi\n",
      },
    }),
    install: [
      "set -e",
      "bootctl --no-variables install",
      "echo timeout 1 >/boot/efi/loader/loader.conf",
      "release=$(cd /lib/modules && echo *)",
      'kernel-install add "$release" "/boot/vmlinuz-$release" "/boot/initrd.img-$release"',
    ].join("\n"),
  },
};

/**
 * The kernel that such a guest starts with, and the one that waits in UPDATE_FOLDER: by every
 * loader's order the newer of the two.
 */
export const FIRST_KERNEL = "linux-image-amd64";
export const UPDATE_FOLDER = "/var/lib/kernel-update";

/** apt-get calls for the tree of such a guest. The update is fetched, not installed. */
export const kernelPackages = ({ hasUpdate }: LoaderKind): readonly (readonly string[])[] =>
  hasUpdate ? [[FIRST_KERNEL], ["--download-only", KERNEL]] : [[KERNEL]];

export const keepUpdate = `mkdir ${UPDATE_FOLDER} && mv /var/cache/apt/archives/linux-image-*-cloud-amd64_*.deb ${UPDATE_FOLDER}/`;

/** The general kernel's drivers for hardware that QEMU does not have: half of its size. */
export const FEWER_DRIVERS: Readonly<Record<string, GuestFile>> = {
  "/etc/dpkg/dpkg.cfg.d/drivers": {
    text: [
      "sound",
      "drivers/gpu",
      "drivers/media",
      "drivers/infiniband",
      "drivers/net/ethernet",
      "drivers/net/wireless",
    ]
      .map((part) => `path-exclude=*/lib/modules/*/kernel/${part}/*\n`)
      .join(""),
  },
};
