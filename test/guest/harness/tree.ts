/**
 * Debian trees made by debootstrap, with no loop device, device mapper or KVM, as root. Two stages,
 * each cached: the minimal base of a release, and a recipe's packages and files on top. Neither
 * holds our own package: an image adds that (image.ts). Every tree can be worked through
 * files/test-shell (shell.ts) and by root at the serial console, without a password.
 */
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { must } from "../../../script/program.ts";
import { cached, digestOf } from "./cache.ts";
import { runInTree } from "./chroot.ts";
import { debianMirror, validityOptions } from "./mirror.ts";
import type { GuestFile, Recipe, Suite } from "./recipe.ts";
import { blamed, stateOf } from "./suite.ts";

const HERE = import.meta.dirname;
/** How trees are made is an input of theirs as well. */
const BUILDER = ["tree.ts", "chroot.ts"].map((name) => readFileSync(join(HERE, name)));
const text = (name: string): string => readFileSync(join(HERE, "files", name), "utf8");

/** In every guest. */
const COMMON: Readonly<Record<string, GuestFile>> = {
  "/usr/sbin/policy-rc.d": { text: "#!/bin/sh\nexit 101\n", mode: 0o755 }, // no service starts while a tree is built
  "/etc/hostname": { text: "guest\n" },
  "/etc/hosts": { text: "127.0.0.1 localhost guest\n" },
  "/etc/fstab": { text: "/dev/vda / ext4 errors=remount-ro 0 1\n" },
  "/etc/systemd/network/10-guest.network": { text: text("guest.network") },
  "/usr/local/sbin/test-shell": { text: text("test-shell"), mode: 0o755 },
  "/etc/systemd/system/test-shell.service": { text: text("test-shell.service") },
  "/etc/udev/rules.d/99-test-shell.rules": { text: text("99-test-shell.rules") },
  "/etc/dpkg/dpkg.cfg.d/guest": { text: "path-exclude=/usr/share/doc/*\npath-exclude=/usr/share/locale/*\n" },
};

const FINISH = [
  "systemctl enable systemd-networkd.service",
  "systemctl mask apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer fstrim.timer dpkg-db-backup.timer e2scrub_reap.service getty-static.service getty@tty1.service",
  "passwd -d root",
  "rm -f /usr/sbin/policy-rc.d /etc/machine-id",
  ": > /etc/machine-id",
  "apt-get clean",
  "rm -rf /var/lib/apt/lists /var/log/*.log",
];

/**
 * An archive of the recipe's tree (`tar --zstd`).
 * @throws Error when something cannot be downloaded or installed, or SuiteFault
 */
export async function treeArchive(recipe: Recipe): Promise<string> {
  const base = await baseArchive(recipe.suite);
  const digest = digestOf(...BUILDER, recipe, COMMON, base);
  const folder = await cached({ kind: "tree", name: recipe.name, digest, keep: 24 }, (out) =>
    withTree(base, async (tree) => {
      writeFiles(tree, { ...COMMON, ...recipe.files });
      await withResolver(tree, async () => {
        await blamed(recipe.suite, () => runInTree(tree, `apt-get update -qq ${validityOptions()}`));
        const options = "-y -qq --no-install-recommends -o Dpkg::Options::=--force-confold -o Dpkg::Use-Pty=0";
        for (const packages of recipe.packages) {
          const install = `apt-get install ${options} ${packages.join(" ")}`;
          await blamed(recipe.suite, () => runInTree(tree, install));
        }
      });
      await runInTree(tree, [...recipe.finish, ...FINISH].join("\n"));
      await pack(tree, join(out, ARCHIVE));
    }),
  );
  return join(folder, ARCHIVE);
}

async function baseArchive(suite: Suite): Promise<string> {
  const digest = digestOf(...BUILDER, suite, await stateOf(suite));
  const folder = await cached({ kind: "base", name: suite, digest, keep: 4 }, (out) =>
    withScratch(async (scratch) => {
      const tree = join(scratch, "tree");
      const options = ["--variant=minbase", "--include=ca-certificates"];
      const mirror = debianMirror();
      if (mirror === null) throw new Error("this machine's apt has no Debian archive configured");
      const argv = ["nice", "-n", "10", "debootstrap", ...options, suite, tree, mirror, SCRIPT] as const;
      await blamed(suite, () => must(argv, 1_200_000));
      await pack(tree, join(out, ARCHIVE));
    }),
  );
  return join(folder, ARCHIVE);
}

const ARCHIVE = "tree.tar.zst";
/**
 * One script does for every release of Debian's that is made here; a debootstrap older than a
 * release lacks the link of its name.
 */
const SCRIPT = "sid";

const pack = (tree: string, archive: string) =>
  must(["tar", "-C", tree, "--numeric-owner", "--zstd", "-cf", archive, "."], 300_000);

/** Unpacks an archive into a folder that is removed afterwards. */
export function withTree<T>(archive: string, use: (tree: string) => Promise<T>): Promise<T> {
  return withScratch(async (scratch) => {
    const tree = join(scratch, "tree");
    mkdirSync(tree, { mode: 0o755 });
    await must(["tar", "-C", tree, "--numeric-owner", "--zstd", "-xpf", archive], 300_000);
    return await use(tree);
  });
}

async function withScratch<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "nightlatch-tree-"));
  try {
    return await use(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Writes files into a tree, as root's. */
export function writeFiles(tree: string, files: Readonly<Record<string, GuestFile>>): void {
  for (const [path, file] of Object.entries(files)) {
    const target = join(tree, path);
    mkdirSync(dirname(target), { recursive: true, mode: 0o755 });
    writeFileSync(target, file.text);
    chmodSync(target, file.mode ?? 0o644);
  }
}

/** The host's name servers, for as long as packages are fetched. */
async function withResolver(tree: string, use: () => Promise<void>): Promise<void> {
  const target = join(tree, "etc/resolv.conf");
  rmSync(target, { force: true });
  if (existsSync("/etc/resolv.conf")) writeFileSync(target, readFileSync("/etc/resolv.conf"));
  await use();
  rmSync(target, { force: true });
}
