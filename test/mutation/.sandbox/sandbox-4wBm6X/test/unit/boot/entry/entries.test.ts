// @ts-nocheck
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { DEFAULT_ENTRY, findBootEntry } from "../../../../src/boot/entry/entries.ts";
import { isError } from "../../../../src/core/errors.ts";
import { fakeSystem, type Programs } from "../../../support/fake-files.ts";

const vector = (name: string) => readFileSync(new URL(`../../../vectors/boot/${name}`, import.meta.url));

/** findmnt as util-linux 2.38 prints it. */
const mounted = (...rows: { target: string; uuid: string | null; fsroot: string }[]): Programs => {
  return (argv) => (argv[0] === "findmnt" ? { stdout: JSON.stringify({ filesystems: rows }) } : undefined);
};
const ROOT_ONLY = mounted({ target: "/", uuid: "r", fsroot: "/" });

function kernel(release: string): Buffer {
  const image = Buffer.alloc(0x400);
  image.write("HdrS", 0x202);
  image.writeUInt16LE(0x100, 0x20e);
  image.write(`${release} (builder) #1\0`, 0x300);
  return image;
}

const KERNELS = {
  "/boot/vmlinuz-6.1.0-50-amd64": kernel("6.1.0-50-amd64"),
  "/boot/initrd.img-6.1.0-50-amd64": "i",
  "/boot/vmlinuz-6.1.0-49-amd64": kernel("6.1.0-49-amd64"),
  "/boot/initrd.img-6.1.0-49-amd64": "i",
  "/proc/cmdline": "root=/dev/sda1 running\n",
};

test("GRUB: the saved entry, its files, its release, its own command line", async () => {
  const files = {
    ...KERNELS,
    "/boot/grub/grub.cfg": vector("grub-debian12-saved.cfg"),
    "/boot/grub/grubenv": vector("grubenv"),
  };
  const entry = await findBootEntry(fakeSystem(files, ROOT_ONLY), DEFAULT_ENTRY);
  assert.deepEqual(entry, {
    title: "Debian GNU/Linux, with Linux 6.1.0-49-amd64",
    source: "grub",
    once: false,
    id: "gnulinux-advanced-/dev/vda>gnulinux-6.1.0-49-amd64-advanced-/dev/vda",
    kernel: { path: "/boot/vmlinuz-6.1.0-49-amd64", section: null },
    initrds: [{ path: "/boot/initrd.img-6.1.0-49-amd64", section: null }],
    cmdline: "root=/dev/vda ro console=ttyS0 quiet",
    release: "6.1.0-49-amd64",
    notes: [],
  });
});

test("GRUB: next_entry is once, --entry and --cmdline come before it, a wrong default is told about", async () => {
  const grubenv = Buffer.from("# GRUB Environment Block\nnext_entry=1>0\n");
  const files = { ...KERNELS, "/boot/grub/grub.cfg": vector("grub-debian12.cfg"), "/boot/grub/grubenv": grubenv };
  const next = await findBootEntry(fakeSystem(files, ROOT_ONLY), DEFAULT_ENTRY);
  assert.deepEqual([next.once, next.release], [true, "6.1.0-50-amd64"]);
  const wished = await findBootEntry(fakeSystem(files, ROOT_ONLY), { ...DEFAULT_ENTRY, entry: "1>2", cmdline: "mine" });
  assert.deepEqual([wished.once, wished.release, wished.cmdline], [false, "6.1.0-49-amd64", "mine"]);
  await assert.rejects(
    findBootEntry(fakeSystem(files, ROOT_ONLY), { ...DEFAULT_ENTRY, entry: "no such" }),
    (error) => isError(error, "boot/no-entry") && /GRUB has no entry "no such"/.test(error.message),
  );
  const gone = { ...files, "/boot/grub/grubenv": Buffer.from("# GRUB Environment Block\nnext_entry=gone\n") };
  assert.match(String((await findBootEntry(fakeSystem(gone, ROOT_ONLY), DEFAULT_ENTRY)).notes[0]), /not there/);
});

test("GRUB: paths are on the file system that the entry searches for, wherever it is mounted", async () => {
  const text =
    "menuentry a {\nsearch --no-floppy --fs-uuid --set=root B00T\nlinux /vmlinuz ro\ninitrd /ucode /initrd\n}";
  const files = {
    "/boot/grub/grub.cfg": text,
    "/boot/vmlinuz": kernel("1.2.3"),
    "/boot/initrd": "i",
    "/boot/ucode": "u",
    "/vmlinuz": "old",
  };
  const boot = { target: "/boot", uuid: "b00t", fsroot: "/" };
  const entry = await findBootEntry(
    fakeSystem(files, mounted({ target: "/", uuid: "r", fsroot: "/" }, boot)),
    DEFAULT_ENTRY,
  );
  assert.equal(entry.kernel.path, "/boot/vmlinuz");
  assert.deepEqual(
    entry.initrds.map(({ path }) => path),
    ["/boot/ucode", "/boot/initrd"],
  );
  await assert.rejects(
    findBootEntry(fakeSystem(files, ROOT_ONLY), DEFAULT_ENTRY),
    (error) => isError(error, "boot/not-mounted") && /B00T/.test(error.message),
  );
  const subvolume =
    "menuentry a {\nsearch --fs-uuid --set=root B00T\nlinux /@/boot/vmlinuz ro\ninitrd /@/boot/initrd\n}";
  const btrfs = mounted(
    { target: "/", uuid: "b00t", fsroot: "/@" },
    { target: "/home", uuid: "b00t", fsroot: "/@home" },
  );
  const inside = await findBootEntry(fakeSystem({ ...files, "/boot/grub/grub.cfg": subvolume }, btrfs), DEFAULT_ENTRY);
  assert.equal(inside.kernel.path, "/boot/vmlinuz");
  const missing = { ...files, "/boot/grub/grub.cfg": "menuentry a { linux /gone\n }" };
  await assert.rejects(findBootEntry(fakeSystem(missing, ROOT_ONLY), DEFAULT_ENTRY), (error) =>
    isError(error, "boot/no-entry"),
  );
  const climbing = { ...files, "/boot/grub/grub.cfg": "menuentry a { linux /../vmlinuz\n }" };
  await assert.rejects(findBootEntry(fakeSystem(climbing, ROOT_ONLY), DEFAULT_ENTRY), (error) =>
    isError(error, "boot/no-entry"),
  );
});

test("GRUB with BLS entries, as Fedora and RHEL have it", async () => {
  const entry = (version: string) =>
    `title Fedora (${version})\nversion ${version}\nlinux /vmlinuz-${version}\ninitrd /initramfs-${version}.img $tuned_initrd\noptions $kernelopts quiet\n`;
  const files = {
    "/boot/grub2/grub.cfg":
      'load_env\nset default="$saved_entry"\nsearch --no-floppy --fs-uuid --set=root b\ninsmod blscfg\nblscfg\n',
    "/boot/grub2/grubenv":
      "# GRUB Environment Block\nsaved_entry=m-6.8.5\nkernelopts=root=UUID=1 ro rd.luks.uuid=luks-2\n",
    "/boot/loader/entries/m-6.8.5.conf": entry("6.8.5"),
    "/boot/loader/entries/m-6.11.4.conf": entry("6.11.4"),
    "/boot/vmlinuz-6.8.5": kernel("6.8.5"),
    "/boot/initramfs-6.8.5.img": "i",
  };
  const found = await findBootEntry(
    fakeSystem(files, mounted({ target: "/boot", uuid: "b", fsroot: "/" })),
    DEFAULT_ENTRY,
  );
  assert.equal(found.title, "Fedora (6.8.5)");
  assert.equal(found.cmdline, "root=UUID=1 ro rd.luks.uuid=luks-2 quiet");
  assert.deepEqual(found.initrds, [{ path: "/boot/initramfs-6.8.5.img", section: null }]);
});

const LOADER_INFO = "/sys/firmware/efi/efivars/LoaderInfo-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";
const ONE_SHOT = "/sys/firmware/efi/efivars/LoaderEntryOneShot-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";
const loaderInfo = (text: string) => Buffer.concat([Buffer.alloc(4), Buffer.from(text, "utf16le")]);

test("systemd-boot: what bootctl calls the default, before any GRUB that lies around", async () => {
  const rows = [
    { type: "type1", id: "old.conf", isDefault: false, linux: "/x" },
    {
      type: "type1",
      id: "debian-6.12.conf",
      path: "/boot/efi/loader/entries/debian-6.12.conf",
      root: "/boot/efi",
      showTitle: "Debian 13",
      isDefault: true,
      options: "root=/dev/mapper/r ro",
      linux: "/debian/6.12/linux",
      initrd: ["/debian/6.12/initrd.img"],
    },
  ];
  const files = {
    [LOADER_INFO]: loaderInfo("systemd-boot 257.13"),
    [ONE_SHOT]: "set",
    "/boot/grub/grub.cfg": "menuentry a { linux /none\n }",
    "/boot/efi/debian/6.12/linux": kernel("6.12.1"),
  };
  const programs: Programs = (argv, command) =>
    argv[0] === "bootctl" ? { stdout: JSON.stringify(rows) } : ROOT_ONLY(argv, command);
  const system = fakeSystem(files, programs);
  const entry = await findBootEntry(system, DEFAULT_ENTRY);
  assert.deepEqual(
    [entry.source, entry.id, entry.once, entry.release],
    ["systemd-boot", "debian-6.12.conf", true, "6.12.1"],
  );
  assert.deepEqual(entry.initrds, [{ path: "/boot/efi/debian/6.12/initrd.img", section: null }]);
  assert.deepEqual(system.ran.at(-1), ["bootctl", "list", "--json=short", "--no-pager"]);
  await assert.rejects(findBootEntry(system, { ...DEFAULT_ENTRY, entry: "x" }), (error) =>
    isError(error, "boot/no-entry"),
  );
});

test("systemd-boot 252, whose bootctl tells the default only in its list for people", async () => {
  const entry = (name: string) => ({
    id: `${name}.conf`,
    path: `/boot/efi/loader/entries/${name}.conf`,
    root: "/boot/efi",
    linux: `/${name}/linux`,
    initrd: [`/${name}/initrd`],
    options: `root=x nl=${name}`,
  });
  const json = ["one", "two"].map((name) => `${JSON.stringify(entry(name))}\n`).join("");
  const text =
    "  title: One (one.conf)\n  id: one.conf\n\n  title: Two (two.conf) (default) (selected)\n  id: two.conf\n";
  const files = {
    [LOADER_INFO]: loaderInfo("systemd-boot 252.39"),
    "/boot/efi/one/linux": kernel("6.1.1"),
    "/boot/efi/two/linux": kernel("6.1.2"),
  };
  const programs: Programs = (argv, command) => {
    if (argv[0] !== "bootctl") return ROOT_ONLY(argv, command);
    return { stdout: argv.includes("--json=short") ? json : text };
  };
  const found = await findBootEntry(fakeSystem(files, programs), DEFAULT_ENTRY);
  assert.deepEqual([found.id, found.release, found.cmdline], ["two.conf", "6.1.2", "root=x nl=two"]);
  const named = await findBootEntry(fakeSystem(files, programs), { ...DEFAULT_ENTRY, entry: "one.conf" });
  assert.equal(named.release, "6.1.1");
});

test("a unified kernel image is taken apart: kernel, initramfs, command line, release", async () => {
  const image = Buffer.alloc(4096);
  image.write("MZ");
  image.writeUInt32LE(0x80, 0x3c);
  image.write("PE\0\0", 0x80);
  const sections: [string, string | Buffer, number][] = [
    [".cmdline", "root=x ro\0", 1024],
    [".uname", "6.12.9\0", 1100],
    [".linux", "no bzImage", 1200],
    [".initrd", "initramfs", 1300],
  ];
  image.writeUInt16LE(sections.length, 0x86);
  sections.forEach(([name, content, offset], index) => {
    const at = 0x98 + index * 40;
    image.write(name, at);
    image.writeUInt32LE(content.length, at + 8);
    image.writeUInt32LE(content.length, at + 16);
    image.writeUInt32LE(offset, at + 20);
    image.set(Buffer.from(content), offset);
  });
  const rows = [
    { type: "type2", id: "a.efi", path: "/efi/EFI/Linux/a.efi", root: "/efi", title: "A", isDefault: true },
  ];
  const files = { [LOADER_INFO]: loaderInfo("systemd-boot 252"), "/efi/EFI/Linux/a.efi": image };
  const programs: Programs = (argv, command) =>
    argv[0] === "bootctl" ? { stdout: JSON.stringify(rows) } : ROOT_ONLY(argv, command);
  const entry = await findBootEntry(fakeSystem(files, programs), DEFAULT_ENTRY);
  assert.deepEqual(entry.kernel.section, { name: ".linux", offsetBytes: 1200, lengthBytes: 10 });
  assert.deepEqual(entry.initrds, [
    { path: "/efi/EFI/Linux/a.efi", section: { name: ".initrd", offsetBytes: 1300, lengthBytes: 9 } },
  ]);
  assert.deepEqual([entry.cmdline, entry.release], ["root=x ro", "6.12.9"]);
});

test("extlinux, with paths from its own folder", async () => {
  const text =
    "default l0\nlabel l0\n  linux ../vmlinuz-old\nlabel l1\n linux /boot/vmlinuz-6.1.0-50-amd64\n initrd /boot/initrd.img-6.1.0-50-amd64\n append ro\n";
  const files = { ...KERNELS, "/boot/extlinux/extlinux.conf": text };
  const entry = await findBootEntry(fakeSystem(files, ROOT_ONLY), { ...DEFAULT_ENTRY, entry: "l1" });
  assert.deepEqual([entry.source, entry.cmdline, entry.release], ["extlinux", "ro", "6.1.0-50-amd64"]);
  await assert.rejects(findBootEntry(fakeSystem(files, ROOT_ONLY), DEFAULT_ENTRY), (error) =>
    isError(error, "boot/no-entry"),
  );
});

test("two boot loaders are not guessed between", async () => {
  const files = { ...KERNELS, "/boot/grub/grub.cfg": "", "/boot/extlinux/extlinux.conf": "" };
  await assert.rejects(
    findBootEntry(fakeSystem(files, ROOT_ONLY), DEFAULT_ENTRY),
    (error) => isError(error, "boot/ambiguous") && /--kernel/.test(String(error.remedy)),
  );
});

test("no boot loader: the newest kernel that is whole, with the running command line", async () => {
  const modules = {
    "/lib/modules/6.1.0-49-amd64/modules.dep": "",
    "/boot/vmlinuz-6.1.0-9-amd64": kernel("6.1.0-9-amd64"),
    "/boot/initrd.img-6.1.0-9-amd64": "i",
    "/lib/modules/6.1.0-9-amd64/modules.dep": "",
  };
  const entry = await findBootEntry(fakeSystem({ ...KERNELS, ...modules }, ROOT_ONLY), DEFAULT_ENTRY);
  assert.deepEqual(
    [entry.source, entry.release, entry.cmdline],
    ["newest kernel", "6.1.0-49-amd64", "root=/dev/sda1 running"],
  );
  await assert.rejects(findBootEntry(fakeSystem(KERNELS, ROOT_ONLY), DEFAULT_ENTRY), (error) =>
    isError(error, "boot/no-entry"),
  );
});

test("what a person names is taken as it is, if it is there", async () => {
  const wish = {
    ...DEFAULT_ENTRY,
    kernel: "/boot/vmlinuz-6.1.0-49-amd64",
    initrds: ["/boot/initrd.img-6.1.0-49-amd64"],
  };
  const entry = await findBootEntry(fakeSystem(KERNELS, ROOT_ONLY), wish);
  assert.deepEqual(
    [entry.source, entry.release, entry.cmdline],
    ["options", "6.1.0-49-amd64", "root=/dev/sda1 running"],
  );
  await assert.rejects(
    findBootEntry(fakeSystem(KERNELS, ROOT_ONLY), { ...wish, initrds: ["/nothing"] }),
    (error) => isError(error, "file/missing") && error.message === "/nothing is no file",
  );
});
