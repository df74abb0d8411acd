/**
 * A machine as an administrator has it: /boot on a disk of its own, root, swap and a data volume on
 * LUKS2 under one passphrase. QEMU starts the kernel; what its boot loader would start is what the
 * guest's own grub-mkconfig writes. With a loader, the boot disk has partitions, and
 * firmware-machine.ts puts the loader on it.
 */
import { copyFileSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { must } from "../../../script/program.ts";
import { makeBootDisk } from "./boot-disk.ts";
import { cached, digestOf } from "./cache.ts";
import { customise, makeFileSystem, newest } from "./image.ts";
import {
  ESP_UUID,
  FEWER_DRIVERS,
  keepUpdate,
  kernelPackages,
  LOADERS,
  type Loader,
  type LoaderKind,
} from "./loader.ts";
import { encryptImage, makeLuksVolume } from "./luks-volume.ts";
import type { MachineOptions } from "./machine.ts";
import { type GuestFile, KERNEL, type Recipe, SPLIT_OFF, type Suite } from "./recipe.ts";
import { onShelf, SHELF_INDEX } from "./shelf.ts";
import { treeArchive, withTree } from "./tree.ts";

export const PASSPHRASE = "correct horse battery staple";
export const UUIDS = {
  root: "10000000-0000-4000-8000-000000000001",
  swap: "10000000-0000-4000-8000-000000000002",
  data: "10000000-0000-4000-8000-000000000003",
  boot: "10000000-0000-4000-8000-000000000004",
} as const;

export type Generator = "initramfs-tools" | "dracut";
export type InitramfsCompression = "gzip" | "zstd" | "xz" | "lz4";

export interface EncryptedRoot {
  readonly suite: Suite;
  readonly generator: Generator;
  readonly compression: InitramfsCompression;
  /** Our package; null for a machine without it. */
  readonly deb: string | null;
  readonly loader?: Loader;
  /** Packages, with all that they need, that the machine's own apt installs without a network. */
  readonly shelf?: readonly string[];
}

/** Disks of the machine, all raw: root is /dev/vda, then swap, data, boot. */
export interface EncryptedMachine {
  readonly folder: string;
  /** For startMachine, on copies in `folder`. */
  readonly options: Pick<MachineOptions, "image" | "disks" | "commandLine" | "memoryMiB">;
  /** Of everything that the disks were made from. */
  readonly digest: string;
}

const BUILDER = ["encrypted-root.ts", "luks-volume.ts", "boot-disk.ts", "loader.ts", "shelf.ts"].map((name) =>
  readFileSync(join(import.meta.dirname, name)),
);
const ROOT_MIB = 1600;
/** Known before the first boot: kernel-install names entries after it. */
const MACHINE_ID = "1000000000004000800000000000000a";

const CRYPTTAB = [
  `cryptroot UUID=${UUIDS.root} none luks,discard,initramfs,x-initrd.attach`,
  `cryptswap UUID=${UUIDS.swap} none luks,swap,initramfs,x-initrd.attach`,
  `data UUID=${UUIDS.data} none luks`,
  "",
].join("\n");

function fstabOf(kind: LoaderKind | null): string {
  return [
    "/dev/mapper/cryptroot / ext4 errors=remount-ro 0 1",
    "/dev/mapper/cryptswap none swap sw 0 0",
    "/dev/mapper/data /srv ext4 defaults 0 2",
    ...(kind === null || kind.ownBoot ? [`UUID=${UUIDS.boot} /boot ext4 defaults 0 2`] : []),
    ...(kind?.uefi ? [`UUID=${ESP_UUID} /boot/efi vfat umask=0077 0 1`] : []),
    "",
  ].join("\n");
}

const kindOf = ({ loader }: EncryptedRoot): LoaderKind | null => (loader === undefined ? null : LOADERS[loader]);

/** What dracut calls: at its own level, 15, emulated zstd takes minutes for an image. */
const compressor = (compression: InitramfsCompression) => (compression === "zstd" ? "zstd -1 -q -T0" : compression);

/** What somebody types who wants the network before the root: this machine lists its modules. */
export const NETWORK_DRIVER = "echo virtio_net >>/etc/initramfs-tools/modules";

export function recipeOf(root: EncryptedRoot): Recipe {
  const { suite, generator, compression } = root;
  const kind = kindOf(root);
  const tools = ["kexec-tools", "grub-common", "grub2-common", "cryptsetup", "dmsetup", "e2fsprogs", "udev", "kmod"];
  const compressors = ["zstd", "xz-utils", "lz4", "gzip"];
  const base = [
    "systemd-sysv",
    "dbus", // for logind, which has a part in every shutdown
    "iproute2",
    "procps",
    "cpio",
    "libatomic1",
    "libstdc++6",
    ...tools,
    ...compressors,
    ...SPLIT_OFF[suite],
    ...(kind?.packages ?? []),
  ];
  const own = generator === "dracut" ? ["dracut"] : ["initramfs-tools", "cryptsetup-initramfs"];
  const files: Record<string, GuestFile> =
    generator === "dracut"
      ? {
          "/etc/dracut.conf.d/guest.conf": {
            text: `hostonly="no"\ncompress="${compressor(compression)}"\nadd_dracutmodules+=" crypt "\nadd_drivers+=" virtio_pci virtio_blk ext4 dm_crypt "\n`,
          },
        }
      : {
          "/etc/initramfs-tools/conf.d/guest": { text: `MODULES=list\nCOMPRESS=${compression}\nRESUME=none\n` },
          "/etc/initramfs-tools/modules": {
            text: "virtio_pci\nvirtio_blk\next4\ndm_crypt\naes_generic\naesni_intel\nxts\nsha256_generic\nalgif_skcipher\n",
          },
        };
  const name = `encrypted-${suite}-${generator}`;
  if (root.shelf !== undefined)
    return onShelf({ name, suite, packages: [base, own, [KERNEL]], files, finish: [] }, root.shelf);
  if (kind === null) return { name, suite, packages: [base, own, [KERNEL]], files, finish: [] };
  return {
    name: `${name}-${root.loader}`,
    suite,
    packages: [base, own, ...kernelPackages(kind)],
    files: { ...files, ...FEWER_DRIVERS },
    finish: kind.hasUpdate ? [keepUpdate] : [],
  };
}

/** A generic dracut initramfs opens what the command line names. */
function namesFor({ generator }: Pick<EncryptedRoot, "generator">): string {
  if (generator !== "dracut") return "";
  return `rd.luks.name=${UUIDS.root}=cryptroot rd.luks.name=${UUIDS.swap}=cryptswap`;
}

/** What its boot loader's entry says to the kernel, where it has no loader of its own. */
export const commandLineOf = (root: Pick<EncryptedRoot, "generator">): string =>
  `root=/dev/mapper/cryptroot ro console=ttyS0 ${namesFor(root)}`.trim();

const nameOf = (root: EncryptedRoot) =>
  [root.suite, root.generator, root.loader, root.shelf === undefined ? "" : "shelf"].filter(Boolean).join("-");

/** The disks, made once for each set of inputs, copied into `folder` for one machine. */
export async function encryptedMachine(root: EncryptedRoot, folder: string): Promise<EncryptedMachine> {
  const archive = await treeArchive(recipeOf(root));
  const { deb: _, ...named } = root;
  const digest = digestOf(...BUILDER, archive, root.deb === null ? "none" : readFileSync(root.deb), named);
  const built = await cached({ kind: "encrypted", name: nameOf(root), digest, keep: 8 }, (out) =>
    build(root, archive, out),
  );
  mkdirSync(folder, { recursive: true });
  const disks = ["swap", "data", "boot"].map((name) => ({
    file: join(folder, `${name}.raw`),
    format: "raw" as const,
    serial: name,
  }));
  for (const { file, serial } of disks) await must(["cp", "--sparse=always", join(built, `${serial}.raw`), file]);
  const image = { disk: join(built, "root.raw"), kernel: join(built, "vmlinuz"), initramfs: join(built, "initrd") };
  return {
    folder,
    digest,
    options: { image, disks, commandLine: `root=/dev/mapper/cryptroot ro ${namesFor(root)}`, memoryMiB: 1024 },
  };
}

async function build(root: EncryptedRoot, archive: string, out: string): Promise<void> {
  const kind = kindOf(root);
  await withTree(archive, async (tree) => {
    const files: Record<string, GuestFile> = {
      "/etc/crypttab": { text: CRYPTTAB },
      "/etc/fstab": { text: fstabOf(kind) },
      // An emulated machine beside others may take minutes for what systemd gives 90 s.
      "/etc/systemd/system.conf.d/guest.conf": {
        text: "[Manager]\nDefaultTimeoutStartSec=600\nDefaultDeviceTimeoutSec=600\n",
      },
      "/etc/default/grub": {
        text: `GRUB_DEFAULT=0\nGRUB_CMDLINE_LINUX="console=ttyS0 ${namesFor(root)}"\nGRUB_DISABLE_LINUX_UUID=true\n`,
      },
      ...kind?.files(namesFor(root)),
      ...(kind === null ? {} : { "/etc/machine-id": { text: `${MACHINE_ID}\n` } }),
    };
    await customise(tree, root.deb ?? undefined, files, [
      root.generator === "dracut" ? "dracut --force --regenerate-all" : "update-initramfs -u -k all",
      ...(root.shelf === undefined ? [] : [SHELF_INDEX]),
    ]);
    copyFileSync(newest(tree, "vmlinuz-"), join(out, "vmlinuz"));
    copyFileSync(newest(tree, "initrd.img-"), join(out, "initrd"));
    if (kind?.uefi) mkdirSync(join(tree, "boot/efi"));
    await makeBootDisk(kind, tree, out, UUIDS.boot);
    const plain = join(out, "plain.raw");
    await makeFileSystem(tree, plain, ROOT_MIB);
    await encryptImage(plain, join(out, "root.raw"), { passphrase: PASSPHRASE, uuid: UUIDS.root });
    rmSync(plain);
    await must(["truncate", "-s", "64M", plain]);
    await must(["mkswap", "-q", plain]);
    await encryptImage(plain, join(out, "swap.raw"), { passphrase: PASSPHRASE, uuid: UUIDS.swap });
    rmSync(plain);
    await makeLuksVolume(join(out, "data.raw"), "data", 64, {
      passphrase: PASSPHRASE,
      uuid: UUIDS.data,
      files: { greeting: "hello\n" },
    });
  });
}
