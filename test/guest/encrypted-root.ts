/**
 * A machine as an administrator has it: /boot on a disk of its own, root, swap and a data volume on LUKS2 under one passphrase.
 * QEMU starts the kernel; what its boot loader would start is what the guest's own grub-mkconfig writes.
 */
import { copyFileSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { must } from "../../script/program.ts";
import { cached, digestOf } from "./cache.ts";
import { customise, makeFileSystem, newest } from "./image.ts";
import { encryptImage, makeLuksVolume } from "./luks-volume.ts";
import type { MachineOptions } from "./machine.ts";
import { type GuestFile, KERNEL, type Recipe, type Suite } from "./recipe.ts";
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
  readonly deb: string;
}

/** Disks of the machine, all raw: root is /dev/vda, then swap, data, boot. */
export interface EncryptedMachine {
  readonly folder: string;
  /** For startMachine, on copies in `folder`. */
  readonly options: Pick<MachineOptions, "image" | "disks" | "commandLine" | "memoryMiB">;
}

const BUILDER = [readFileSync(import.meta.filename), readFileSync(join(import.meta.dirname, "luks-volume.ts"))];
const ROOT_MIB = 1600;

const CRYPTTAB = [
  `cryptroot UUID=${UUIDS.root} none luks,discard,initramfs,x-initrd.attach`,
  `cryptswap UUID=${UUIDS.swap} none luks,swap,initramfs,x-initrd.attach`,
  `data UUID=${UUIDS.data} none luks`,
  "",
].join("\n");

const FSTAB = [
  "/dev/mapper/cryptroot / ext4 errors=remount-ro 0 1",
  "/dev/mapper/cryptswap none swap sw 0 0",
  "/dev/mapper/data /srv ext4 defaults 0 2",
  `UUID=${UUIDS.boot} /boot ext4 defaults 0 2`,
  "",
].join("\n");

function recipeOf({ suite, generator, compression }: EncryptedRoot): Recipe {
  const split = suite === "trixie" ? ["systemd-cryptsetup"] : [];
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
    ...split,
  ];
  const own = generator === "dracut" ? ["dracut"] : ["initramfs-tools", "cryptsetup-initramfs"];
  const files: Record<string, GuestFile> =
    generator === "dracut"
      ? {
          "/etc/dracut.conf.d/guest.conf": {
            text: `hostonly="no"\ncompress="${compression}"\nadd_dracutmodules+=" crypt "\nadd_drivers+=" virtio_pci virtio_blk ext4 dm_crypt "\n`,
          },
        }
      : {
          "/etc/initramfs-tools/conf.d/guest": { text: `MODULES=list\nCOMPRESS=${compression}\nRESUME=none\n` },
          "/etc/initramfs-tools/modules": {
            text: "virtio_pci\nvirtio_blk\next4\ndm_crypt\naes_generic\naesni_intel\nxts\nsha256_generic\nalgif_skcipher\n",
          },
        };
  return { name: `encrypted-${suite}-${generator}`, suite, packages: [base, own, [KERNEL]], files, finish: [] };
}

/** A generic dracut initramfs opens what the command line names. */
function namesFor({ generator }: EncryptedRoot): string {
  if (generator !== "dracut") return "";
  return `rd.luks.name=${UUIDS.root}=cryptroot rd.luks.name=${UUIDS.swap}=cryptswap`;
}

/** The disks, made once for each set of inputs, copied into `folder` for one machine. */
export async function encryptedMachine(root: EncryptedRoot, folder: string): Promise<EncryptedMachine> {
  const archive = await treeArchive(recipeOf(root));
  const { deb: _, ...named } = root;
  const digest = digestOf(...BUILDER, archive, readFileSync(root.deb), named);
  const built = await cached({ kind: "encrypted", name: `${root.suite}-${root.generator}`, digest, keep: 8 }, (out) =>
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
    options: { image, disks, commandLine: `root=/dev/mapper/cryptroot ro ${namesFor(root)}`, memoryMiB: 1024 },
  };
}

async function build(root: EncryptedRoot, archive: string, out: string): Promise<void> {
  await withTree(archive, async (tree) => {
    const files = {
      "/etc/crypttab": { text: CRYPTTAB },
      "/etc/fstab": { text: FSTAB },
      // An emulated machine beside others may take minutes for what systemd gives 90 s.
      "/etc/systemd/system.conf.d/guest.conf": {
        text: "[Manager]\nDefaultTimeoutStartSec=600\nDefaultDeviceTimeoutSec=600\n",
      },
      "/etc/default/grub": {
        text: `GRUB_DEFAULT=0\nGRUB_CMDLINE_LINUX="console=ttyS0 ${namesFor(root)}"\nGRUB_DISABLE_LINUX_UUID=true\n`,
      },
    };
    await customise(tree, root.deb, files, [
      root.generator === "dracut" ? "dracut --force --regenerate-all" : "update-initramfs -u -k all",
    ]);
    copyFileSync(newest(tree, "vmlinuz-"), join(out, "vmlinuz"));
    copyFileSync(newest(tree, "initrd.img-"), join(out, "initrd"));
    const boot = join(out, "boot-tree");
    renameSync(join(tree, "boot"), boot);
    mkdirSync(join(tree, "boot"));
    await makeFileSystem(boot, join(out, "boot.raw"), 256);
    await must(["tune2fs", "-U", UUIDS.boot, join(out, "boot.raw")]);
    rmSync(boot, { recursive: true });
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
