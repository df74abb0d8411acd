/**
 * Disk images that boot: a recipe's tree, our package installed in it where one is given, on one
 * unpartitioned ext4 disk, with its kernel and initramfs beside it for QEMU's direct boot. Nothing
 * here needs a loop device: mke2fs fills the file system.
 */
import { copyFileSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { must } from "../../../script/program.ts";
import { cached, digestOf } from "./cache.ts";
import { runInTree } from "./chroot.ts";
import type { GuestFile, Recipe } from "./recipe.ts";
import { treeArchive, withTree, writeFiles } from "./tree.ts";

export interface Image {
  /** A raw, sparse image. Never written to: machines run on overlays of it. */
  readonly disk: string;
  readonly kernel: string;
  readonly initramfs: string;
}

export interface ImageOptions {
  /** A .deb to install. What it depends on must be in the recipe. */
  readonly deb?: string;
  /** Written after the package is installed. */
  readonly files?: Readonly<Record<string, GuestFile>>;
  /** Shell lines run in the tree after that. */
  readonly commands?: readonly string[];
  readonly sizeMiB?: number;
}

const BUILDER = readFileSync(import.meta.filename);

/** @throws Error when the package cannot be installed, with what dpkg said */
export async function bootImage(recipe: Recipe, options: ImageOptions = {}): Promise<Image> {
  const archive = await treeArchive(recipe);
  const { deb, files = {}, commands = [], sizeMiB = 2048 } = options;
  const digest = digestOf(BUILDER, archive, deb === undefined ? "none" : readFileSync(deb), files, commands, sizeMiB);
  const folder = await cached({ kind: "image", name: recipe.name, digest, keep: 12 }, (out) =>
    withTree(archive, async (tree) => {
      await customise(tree, deb, files, commands);
      copyFileSync(newest(tree, "vmlinuz-"), join(out, "vmlinuz"));
      copyFileSync(newest(tree, "initrd.img-"), join(out, "initrd"));
      await makeFileSystem(tree, join(out, "disk.raw"), sizeMiB);
    }),
  );
  return { disk: join(folder, "disk.raw"), kernel: join(folder, "vmlinuz"), initramfs: join(folder, "initrd") };
}

/** Installs our package as dpkg does, then writes the test's own files. */
export async function customise(
  tree: string,
  deb: string | undefined,
  files: Readonly<Record<string, GuestFile>>,
  commands: readonly string[],
): Promise<void> {
  if (deb !== undefined) {
    copyFileSync(deb, join(tree, "tmp/package.deb"));
    await runInTree(tree, "dpkg -i /tmp/package.deb && rm /tmp/package.deb");
  }
  writeFiles(tree, files);
  if (commands.length > 0) await runInTree(tree, commands.join("\n"));
}

/** An ext4 file system that holds the tree, in a sparse file. */
export async function makeFileSystem(tree: string, target: string, sizeMiB: number): Promise<void> {
  const options = [
    "-q",
    "-t",
    "ext4",
    "-m",
    "0",
    "-E",
    "lazy_itable_init=0,lazy_journal_init=1",
    "-O",
    "^metadata_csum_seed,^orphan_file",
  ];
  await must(["mke2fs", ...options, "-d", tree, target, `${sizeMiB}M`], 300_000);
}

/** The newest file of /boot whose name begins so. */
export function newest(tree: string, prefix: string): string {
  const boot = join(tree, "boot");
  const compare = new Intl.Collator("en", { numeric: true }).compare;
  const name = readdirSync(boot)
    .filter((file) => file.startsWith(prefix))
    .sort(compare)
    .at(-1);
  if (name === undefined) throw new Error(`the tree has no /boot/${prefix}*`);
  return join(boot, name);
}
