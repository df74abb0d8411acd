// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import { DEFAULT_ENTRY, findBootEntry } from "../../../../src/boot/entry/entries.ts";
import { isError } from "../../../../src/core/errors.ts";
import { fakeSystem, type Programs } from "../../../support/fake-files.ts";

/** What distributions' own tools write, cut down to what decides. */
const MKCONFIG_HEADER = `if [ -s $prefix/grubenv ]; then
  set have_grubenv=true
  load_env
fi
if [ "\${env_block}" ] ; then
  set env_block="(\${root})\${env_block}"
  export env_block
  load_env -f "\${env_block}"
fi
if [ "\${next_entry}" ] ; then
   set default="\${next_entry}"
   set next_entry=
   save_env next_entry
   set boot_once=true
else
   set default="\${saved_entry}"
fi
if [ x"\${feature_menuentry_id}" = xy ]; then
  menuentry_id_option="--id"
else
  menuentry_id_option=""
fi
export menuentry_id_option
function load_video {
  if [ x$feature_all_video_module = xy ]; then
    insmod all_video
  else
    insmod efi_gop
  fi
}
if loadfont unicode ; then
  set gfxmode=auto
  load_video
  insmod gfxterm
fi
terminal_output gfxterm
`;

interface Row {
  readonly target: string;
  readonly uuid: string | null;
  readonly fsroot: string;
}
type Files = Record<string, string | Buffer>;

const findmnt =
  (rows: readonly Row[], more: Programs = () => undefined): Programs =>
  (argv, command) =>
    argv[0] === "findmnt" ? { stdout: JSON.stringify({ filesystems: rows }) } : more(argv, command);

async function entryOf(files: Files, rows: readonly Row[], more?: Programs) {
  const { kernel, initrds, cmdline, id } = await findBootEntry(fakeSystem(files, findmnt(rows, more)), DEFAULT_ENTRY);
  return { kernel: kernel.path, initrds: initrds.map(({ path }) => path), cmdline, id };
}

const isRefused = (code: Parameters<typeof isError>[1], message: RegExp) => (error: unknown) =>
  isError(error, code) && message.test(error.message) && !/would fail as well/.test(String(error.meaning));
const grubenv = (text: string) => `# GRUB Environment Block\n${text}`.padEnd(1024, "#");

test("Debian 13 on UEFI: whether the firmware has a setup does not matter to what boots", async () => {
  const firmware = `if [ "$grub_platform" = "efi" ]; then
  fwsetup --is-supported
  if [ "$?" = 0 ]; then
    menuentry 'UEFI Firmware Settings' $menuentry_id_option 'uefi-firmware' {
      fwsetup
    }
  fi
fi
`;
  const linux = `menuentry 'Debian' $menuentry_id_option 'gnulinux-simple-r' {
  load_video
  search --no-floppy --fs-uuid --set=root --hint-efi=hd0,gpt2 r
  linux /boot/vmlinuz-6.12 root=UUID=r ro quiet
  initrd /boot/initrd.img-6.12
}
`;
  const files = {
    "/sys/firmware/efi/x": "",
    "/boot/vmlinuz-6.12": "k",
    "/boot/initrd.img-6.12": "i",
    "/boot/grub/grub.cfg": `${MKCONFIG_HEADER}${linux}${firmware}`,
    "/boot/efi/EFI/debian/grub.cfg":
      "search.fs_uuid r root\nset prefix=($root)'/boot/grub'\nconfigfile $prefix/grub.cfg\n",
  };
  const rows = [{ target: "/", uuid: "r", fsroot: "/" }];
  assert.equal((await entryOf(files, rows)).cmdline, "root=UUID=r ro quiet");
  // Where the setup stands first it is another matter: the default is the first entry, or the
  // second.
  const first = { ...files, "/boot/grub/grub.cfg": `${MKCONFIG_HEADER}${firmware}set default=0\n${linux}` };
  await assert.rejects(
    entryOf(first, rows),
    isRefused("grub/unknown", /depends on what may fail: .*fwsetup --is-supported/),
  );
});

test("Ubuntu: the list of graphics cards, and a boot that failed before", async () => {
  const text = `${MKCONFIG_HEADER}function gfxmode {
	set gfxpayload="\${1}"
	if [ "\${1}" = "keep" ]; then
		set vt_handoff=vt.handoff=7
	else
		set vt_handoff=
	fi
}
if [ "\${recordfail}" != 1 ]; then
  if [ -e \${prefix}/gfxblacklist.txt ]; then
    if [ \${grub_platform} != pc ]; then
      set linux_gfx_mode=keep
    elif hwmatch \${prefix}/gfxblacklist.txt 3; then
      if [ \${match} = 0 ]; then
        set linux_gfx_mode=keep
      else
        set linux_gfx_mode=text
      fi
    else
      set linux_gfx_mode=text
    fi
  else
    set linux_gfx_mode=keep
  fi
else
  set linux_gfx_mode=text
fi
export linux_gfx_mode
submenu 'Advanced' $menuentry_id_option 'gnulinux-advanced-r' {
  menuentry 'Ubuntu' $menuentry_id_option 'gnulinux-6.8' {
	recordfail
	gfxmode $linux_gfx_mode
	linux /boot/vmlinuz-6.8 root=UUID=r ro quiet splash $vt_handoff
	initrd /boot/initrd.img-6.8
  }
}
`;
  const files = {
    "/boot/vmlinuz-6.8": "k",
    "/boot/initrd.img-6.8": "i",
    "/boot/grub/gfxblacklist.txt": "v1002d94C8sv*sd*bc*sc*i*",
    "/boot/grub/grub.cfg": text,
  };
  const rows = [{ target: "/", uuid: "r", fsroot: "/" }];
  const entry = await entryOf(files, rows);
  assert.equal(entry.cmdline, "root=UUID=r ro quiet splash vt.handoff=7");
  assert.equal(entry.id, "gnulinux-advanced-r>gnulinux-6.8");
  const failed = { ...files, "/boot/grub/grubenv": grubenv("recordfail=1\n") };
  assert.equal((await entryOf(failed, rows)).cmdline, "root=UUID=r ro quiet splash");
  const zfs = `menuentry 'Ubuntu' {
  search --no-floppy --fs-uuid --set=root 411f29ce1557bfed
  linux "/BOOT/ubuntu_ab12cd@/vmlinuz-6.8" ro
}
`;
  await assert.rejects(
    entryOf({ ...files, "/boot/grub/grub.cfg": zfs }, [{ target: "/boot", uuid: null, fsroot: "/" }]),
    isRefused("boot/unsupported", /ZFS pool's number/),
  );
});

test("Fedora: BLS entries, what greenboot counts, the block of an environment on btrfs", async () => {
  const text = `${MKCONFIG_HEADER}insmod increment
if [ -n "\${boot_counter}" -a "\${boot_success}" = "0" ]; then
  if  [ "\${boot_counter}" = "0" -o "\${boot_counter}" = "-1" ]; then
    set default=1
    set boot_counter=-1
  else
    decrement boot_counter
  fi
  save_env boot_counter
fi
search --no-floppy --fs-uuid --set=root b
insmod blscfg
blscfg
if [ -f $prefix/custom.cfg ]; then
  source $prefix/custom.cfg
fi
`;
  const bls = (version: string) =>
    `title Fedora (${version})\nversion ${version}\nlinux /vmlinuz-${version}\ninitrd /initramfs-${version}.img $tuned_initrd\noptions root=UUID=r ro $tuned_params\n`;
  const files: Files = { "/boot/grub2/grub.cfg": text };
  for (const version of ["6.11", "6.12"]) {
    files[`/boot/loader/entries/0695cf7b-${version}.conf`] = bls(version);
    files[`/boot/vmlinuz-${version}`] = "k";
    files[`/boot/initramfs-${version}.img`] = "i";
  }
  const rows = [
    { target: "/", uuid: "r", fsroot: "/root" },
    { target: "/boot", uuid: "b", fsroot: "/" },
  ];
  const kernelWith = async (environment: string) =>
    (await entryOf({ ...files, "/boot/grub2/grubenv": grubenv(environment) }, rows)).kernel;
  assert.equal(await kernelWith(""), "/boot/vmlinuz-6.12");
  // Not the number that its first digits are.
  assert.equal(await kernelWith("saved_entry=0695cf7b-6.11\n"), "/boot/vmlinuz-6.11");
  assert.equal(await kernelWith("boot_counter=1\nboot_success=0\n"), "/boot/vmlinuz-6.12");
  assert.equal(await kernelWith("boot_counter=0\nboot_success=0\n"), "/boot/vmlinuz-6.11");
  await assert.rejects(kernelWith("env_block=512+1\n"), isRefused("grub/unknown", /512\+1/));
});

test("RHEL 8 on UEFI: its grub.cfg and grubenv on the EFI system partition", async () => {
  const version = "4.18.0-553";
  const files: Files = {
    "/sys/firmware/efi/x": "",
    [`/boot/loader/entries/m-${version}.conf`]: `title A\nlinux /vmlinuz-${version}\ninitrd /i\noptions $kernelopts\n`,
    [`/boot/vmlinuz-${version}`]: "k",
    "/boot/i": "i",
    "/boot/efi/EFI/redhat/grub.cfg": `${MKCONFIG_HEADER}search --no-floppy --fs-uuid --set=root b\nblscfg\n`,
    "/boot/efi/EFI/redhat/grubenv": grubenv("kernelopts=root=/dev/mapper/a ro\n"),
  };
  const rows = [
    { target: "/", uuid: "r", fsroot: "/" },
    { target: "/boot", uuid: "b", fsroot: "/" },
    { target: "/boot/efi", uuid: "e", fsroot: "/" },
  ];
  assert.equal((await entryOf(files, rows)).cmdline, "root=/dev/mapper/a ro");
  // Without UEFI nobody reads the EFI system partition.
  const { "/sys/firmware/efi/x": _, ...bios } = files;
  const mbr = { ...bios, "/boot/grub2/grub.cfg": "menuentry a { linux /vmlinuz-4.18.0-553 bios\n}\n" };
  assert.equal((await entryOf(mbr, rows)).cmdline, "bios");
  // With it, both are there to be started.
  const both = { ...mbr, "/sys/firmware/efi/x": "" };
  await assert.rejects(entryOf(both, rows), isRefused("boot/ambiguous", /more than one boot loader/));
  // A few lines that lead on are followed to where they lead, if that is seen.
  const { "/boot/efi/EFI/redhat/grub.cfg": _own, ...without } = files;
  const lead = "search.fs_uuid b root\nset prefix=($root)'/other'\nconfigfile $prefix/grub.cfg\n";
  const led = { ...without, "/boot/efi/EFI/redhat/grub.cfg": lead };
  const there = { ...led, "/boot/other/grub.cfg": "menuentry a { linux /vmlinuz-4.18.0-553 led\n}\n" };
  assert.equal((await entryOf(there, rows)).cmdline, "led");
  await assert.rejects(entryOf(led, rows.slice(0, 1)), isRefused("grub/unknown", /cannot be read here/));
});

test("openSUSE: paths from btrfs's default subvolume, which need not be the running system's", async () => {
  const text = `set btrfs_relative_path="yes"
export btrfs_relative_path
search --no-floppy --fs-uuid --set=root b
${MKCONFIG_HEADER}
menuentry 'openSUSE' --class opensuse $menuentry_id_option 'gnulinux-simple-b' {
	search --no-floppy --fs-uuid --set=root b
	linux /boot/vmlinuz-6.4 root=UUID=b \${extra_cmdline} quiet
	initrd /boot/initrd-6.4
}
`;
  const files = {
    "/boot/grub2/grub.cfg": text,
    "/boot/vmlinuz-6.4": "k",
    "/boot/initrd-6.4": "i",
    "/.snapshots/2/snapshot/boot/vmlinuz-6.4": "k",
    "/.snapshots/2/snapshot/boot/initrd-6.4": "i",
  };
  const running = { target: "/", uuid: "b", fsroot: "/@/.snapshots/1/snapshot" };
  const rows = [running, { target: "/.snapshots", uuid: "b", fsroot: "/@/.snapshots" }];
  const btrfs =
    (path: string): Programs =>
    (argv) =>
      argv.join(" ") === "btrfs subvolume get-default /"
        ? { stdout: `ID 260 gen 5 top level 258 path ${path}\n` }
        : undefined;
  assert.equal((await entryOf(files, rows)).kernel, "/boot/vmlinuz-6.4");
  assert.equal((await entryOf(files, rows, btrfs("@/.snapshots/1/snapshot"))).kernel, "/boot/vmlinuz-6.4");
  // After `snapper rollback` the next boot is another snapshot's.
  const rolledBack = btrfs("@/.snapshots/2/snapshot");
  assert.equal((await entryOf(files, rows, rolledBack)).kernel, "/.snapshots/2/snapshot/boot/vmlinuz-6.4");
  await assert.rejects(
    entryOf(files, [running], rolledBack),
    isRefused("boot/not-mounted", /that part is not mounted/),
  );
  // Without openSUSE's variable the paths begin at the top of the file system.
  const plain = { ...files, "/boot/grub2/grub.cfg": text.replace("yes", "no") };
  await assert.rejects(entryOf(plain, rows), isRefused("boot/not-mounted", /that part is not mounted/));
});

test("a file beneath another mount is not the one that the boot loader means", async () => {
  const files = {
    "/boot/grub/grub.cfg": "menuentry a { search --fs-uuid --set=root r\nlinux /boot/vmlinuz ro\n}\n",
    "/boot/vmlinuz": "k",
  };
  const root = { target: "/", uuid: "r", fsroot: "/" };
  assert.equal((await entryOf(files, [root])).kernel, "/boot/vmlinuz");
  await assert.rejects(
    entryOf(files, [root, { target: "/boot", uuid: "b", fsroot: "/" }]),
    isRefused("boot/not-mounted", /that part is not mounted/),
  );
});
