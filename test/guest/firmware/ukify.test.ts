/**
 * A unified kernel image with profiles, addons and a credential, which Debian 13's own ukify makes:
 * its bootctl tells the entries, and what we would boot of each is held against what went in. No
 * machine is booted: unified-image.test.ts does that.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { DEFAULT_ENTRY, findBootEntry } from "../../../src/boot/entry/entries.ts";
import { readStart } from "../../../src/boot/entry/entry.ts";
import { packStubFiles } from "../../../src/boot/entry/unified/stub-additions.ts";
import { nodeSystem } from "../../../src/system/node.ts";
import { runInTree } from "../harness/chroot.ts";
import { recipeOf } from "../harness/encrypted-root.ts";
import { onlyInFull } from "../harness/requirements.ts";
import { treeArchive, withTree } from "../harness/tree.ts";

const LOADER_INFO = "/sys/firmware/efi/efivars/LoaderInfo-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";

const BUILD = `
mkdir -p /esp/EFI/Linux/a.efi.extra.d /esp/loader/addons /esp/loader/credentials
cd /root
ukify build --profile='ID=first' --cmdline='root=/dev/x nl=first' --output=first.efi
ukify build --profile='TITLE=Another' --cmdline='root=/dev/x nl=other' --output=other.efi
echo initramfs >initrd
ukify build --linux=$(echo /boot/vmlinuz-*) --initrd=initrd --uname=$(ls /lib/modules) --os-release=@/etc/os-release \\
  --cmdline='root=/dev/x nl=none' --join-profile=first.efi --join-profile=other.efi --output=/esp/EFI/Linux/a.efi
ukify build --cmdline='nl.addon=all' --output=/esp/loader/addons/all.addon.efi
ukify build --cmdline='nl.addon=own' --output=/esp/EFI/Linux/a.efi.extra.d/own.addon.efi
ukify build --cmdline='nl.addon=never' --uname=1.0 --output=/esp/EFI/Linux/a.efi.extra.d/never.addon.efi
printf planted >/esp/loader/credentials/nl.cred
`;

/** bootctl wants a file system of its own. */
const LIST = `mkdir -p /mnt/esp; mount -t tmpfs esp /mnt/esp; cp -r /esp/. /mnt/esp
SYSTEMD_RELAX_ESP_CHECKS=1 bootctl list --esp-path=/mnt/esp --json=short`;

test("an image that ukify made is read as it was made, by the entries that bootctl tells", {
  skip: onlyInFull(),
}, async (t) => {
  const root = { suite: "trixie", generator: "dracut", compression: "zstd", loader: "uki", deb: "" } as const;
  await withTree(await treeArchive(recipeOf(root)), async (tree) => {
    await runInTree(tree, BUILD);
    const listed = (await runInTree(tree, LIST)).replaceAll('"/mnt/esp', `"${tree}/esp`);
    const ids = (JSON.parse(listed) as { id: string }[]).map(({ id }) => id);
    t.diagnostic(`${await runInTree(tree, "ukify --version")}: ${ids.join(", ")}`);
    const mounts = { filesystems: [{ target: `${tree}/esp`, uuid: "e", fsroot: "/" }] };
    const loaderInfo = Buffer.from("\0\0\0\0systemd-boot", "utf16le").subarray(4);
    const power: Parameters<typeof findBootEntry>[0] = {
      ...nodeSystem,
      run: async ({ argv }) => ({
        status: 0,
        signal: null,
        stdout: Buffer.from(argv[0] === "bootctl" ? listed : JSON.stringify(mounts)),
        stderr: Buffer.alloc(0),
      }),
      stat: async (path) =>
        path === LOADER_INFO
          ? { kind: "file", mode: 0o644, uid: 0, gid: 0, sizeBytes: loaderInfo.length, modifiedMs: 0 }
          : nodeSystem.stat(path),
      readFile: async (path, limit) => (path === LOADER_INFO ? loaderInfo : nodeSystem.readFile(path, limit)),
    };
    const found = async (entry: string) => {
      const read = await findBootEntry(power, { ...DEFAULT_ENTRY, entry });
      const [archive = Buffer.alloc(0)] = await packStubFiles(power, read.stubFiles ?? []);
      assert.match(archive.toString("latin1"), /\.extra\/global_credentials\/nl\.cred\0+planted/);
      const initrds = await Promise.all(read.initrds.map((file) => readStart(power, file, 1 << 20)));
      return { ...read, initramfs: Buffer.concat(initrds).toString() };
    };
    assert.deepEqual(ids.toSorted(), ["a.efi@2", "a.efi@first", "a.efi@main"]);
    for (const [id, name] of [
      ["a.efi@main", "none"], // by this name ukify makes the image's own profile
      ["a.efi@first", "first"],
      ["a.efi@2", "other"],
    ] as const) {
      const { cmdline, initramfs, release, kernel } = await found(id);
      assert.equal(cmdline, `root=/dev/x nl=${name} nl.addon=all nl.addon=own`);
      assert.equal(initramfs, "initramfs\n");
      const installed = (await runInTree(tree, "ls /lib/modules")).trim();
      assert.equal(release, installed);
      // The kernel as it was, with the signature that is behind its sections.
      const original = readFileSync(join(tree, `boot/vmlinuz-${installed}`));
      assert.ok((await readStart(power, kernel, 1 << 30)).equals(original));
    }
  });
});
