// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { isError } from "../../../../src/core/errors.ts";
import {
  formatInitramfsVolume,
  parseInitramfsCrypttab,
  volumeOption,
} from "../../../../src/formats/initramfs/crypttab.ts";
import { compareRpmVersions, parseBlsEntry, sortAsBlscfg } from "../../../../src/formats/loader/bls.ts";
import { defaultExtlinuxEntry, parseExtlinux } from "../../../../src/formats/loader/extlinux.ts";
import { cmdlineForKexec, cmdlineValues, splitCmdline } from "../../../../src/formats/loader/kernel-cmdline.ts";
import { kernelRelease } from "../../../../src/formats/loader/kernel-image.ts";
import { isUki, parsePeSections } from "../../../../src/formats/loader/uki.ts";
import { parseOsRelease } from "../../../../src/formats/systemd/os-release.ts";

test("BLS entries: repeated initrd and options add up, other keys take the last", () => {
  const text = [
    "# a comment",
    "title      Fedora Linux 40",
    "version    6.8.5",
    "machine-id 4098b3f648d74c13b1f04ccfba7798e8",
    "sort-key   fedora",
    "linux      /6a9857a393724b7a981ebb5b8495b9ea/6.8.5/linux",
    "initrd     /ucode.img",
    "initrd     /6.8.5/initrd   ",
    "options    root=UUID=1 ro",
    "options    quiet",
    "grub_users $grub_users",
  ].join("\r\n");
  assert.deepEqual(parseBlsEntry("f40+3-1.conf", text), {
    id: "f40",
    title: "Fedora Linux 40",
    version: "6.8.5",
    sortKey: "fedora",
    machineId: "4098b3f648d74c13b1f04ccfba7798e8",
    linux: "/6a9857a393724b7a981ebb5b8495b9ea/6.8.5/linux",
    initrds: ["/ucode.img", "/6.8.5/initrd"],
    efi: "",
    options: "root=UUID=1 ro quiet",
    counter: { left: 3, done: 1 },
  });
  assert.throws(
    () => parseBlsEntry("a.conf", "title x"),
    (error) => isError(error, "bls/malformed"),
  );
});

test("BLS file names: the boot counter is no part of the id", () => {
  const read = (name: string) => {
    const { id, counter } = parseBlsEntry(name, "linux /linux");
    return { id, counter };
  };
  assert.deepEqual(read("a+b.conf"), { id: "a+b", counter: null });
  assert.deepEqual(read("a+0.efi"), { id: "a", counter: { left: 0, done: 0 } });
  assert.throws(
    () => read("a.txt"),
    (error) => isError(error, "bls/malformed"),
  );
  assert.throws(
    () => read("../a.conf"),
    (error) => isError(error, "bls/malformed"),
  );
});

test("blscfg's order is rpm's: numbers by value, ~ before the end, ^ after it", () => {
  const ids = ["m-5.14.0-70.el9", "m-5.14.0-427.el9", "m-0-rescue-1", "m-5.9.0"].map((id) => ({ id }));
  assert.deepEqual(
    sortAsBlscfg(ids).map(({ id }) => id),
    ["m-5.14.0-427.el9", "m-5.14.0-70.el9", "m-5.9.0", "m-0-rescue-1"],
  );
  const ordered = ["1.0~rc1", "1.0", "1.0^git1", "1.0.a", "1.0.1", "1.00000000000000000000002"];
  for (let index = 1; index < ordered.length; index++) {
    assert.ok(compareRpmVersions(String(ordered[index - 1]), String(ordered[index])) < 0, String(ordered[index]));
  }
  fc.assert(
    fc.property(fc.string(), fc.string(), (a, b) => {
      assert.equal(Math.sign(compareRpmVersions(a, b)), -Math.sign(compareRpmVersions(b, a)) + 0);
    }),
  );
});

test("extlinux.conf: keywords in any case, append's initrd=, the default", () => {
  const menu = parseExtlinux(
    [
      "DEFAULT l1",
      "append common=1",
      "label l0",
      "  MENU LABEL ^Debian",
      "  linux /boot/vmlinuz-1",
      "  initrd /boot/a,/boot/b",
      "label l1",
      "  kernel /boot/vmlinuz-2",
      "  append initrd=/boot/c root=/dev/sda ro",
    ].join("\n"),
  );
  assert.deepEqual(menu.entries[0], {
    label: "l0",
    title: "Debian",
    kernel: "/boot/vmlinuz-1",
    initrds: ["/boot/a", "/boot/b"],
    options: "common=1",
  });
  assert.deepEqual(defaultExtlinuxEntry(menu), {
    label: "l1",
    title: "l1",
    kernel: "/boot/vmlinuz-2",
    initrds: ["/boot/c"],
    options: "root=/dev/sda ro",
  });
  assert.equal(defaultExtlinuxEntry(parseExtlinux("default gone\nlabel a\nkernel /v")), null);
  assert.throws(
    () => parseExtlinux("include other.conf"),
    (error) => isError(error, "extlinux/malformed"),
  );
  fc.assert(
    fc.property(fc.string(), (text) => void defaultExtlinuxEntry(parseExtlinux(text.replace(/include/gi, "")))),
  );
});

function pe(sections: readonly [string, number, number, number][]): Buffer {
  const image = Buffer.alloc(2048);
  image.write("MZ");
  image.writeUInt32LE(0x80, 0x3c);
  image.write("PE\0\0", 0x80);
  image.writeUInt16LE(sections.length, 0x86);
  image.writeUInt16LE(0xf0, 0x94);
  sections.forEach(([name, virtualBytes, rawBytes, offsetBytes], index) => {
    const at = 0x98 + 0xf0 + index * 40;
    image.write(name, at);
    image.writeUInt32LE(virtualBytes, at + 8);
    image.writeUInt32LE(rawBytes, at + 16);
    image.writeUInt32LE(offsetBytes, at + 20);
  });
  return image;
}

test("the sections of a PE image, bounded by the file", () => {
  const image = pe([
    [".linux", 100, 512, 1024],
    [".initrd", 600, 512, 1536],
  ]);
  const sections = parsePeSections(image, image.length) ?? [];
  assert.deepEqual(sections, [
    { name: ".linux", offsetBytes: 1024, lengthBytes: 100 },
    { name: ".initrd", offsetBytes: 1536, lengthBytes: 512 },
  ]);
  assert.equal(isUki(sections), true);
  assert.equal(isUki(sections.slice(0, 1)), true);
  assert.equal(isUki(sections.slice(1)), false);
  assert.equal(parsePeSections(Buffer.from("ELF"), 3), null);
  assert.throws(
    () => parsePeSections(image, 2000),
    (error) => isError(error, "uki/malformed") && /cut off/.test(error.message),
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(image.length - 200), (noise, at) => {
      const broken = Buffer.from(image);
      broken.set(noise, at);
      try {
        parsePeSections(broken, broken.length);
      } catch (error) {
        assert.ok(isError(error, "uki/malformed"), String(error));
      }
    }),
  );
});

test("a kernel tells its release, and anything else does not", () => {
  const image = Buffer.alloc(0x400);
  image.write("HdrS", 0x202);
  image.writeUInt16LE(0x100, 0x20e);
  image.write("6.1.0-50-amd64 (debian-kernel@lists.debian.org) #1 SMP\0", 0x300);
  assert.equal(kernelRelease(image), "6.1.0-50-amd64");
  assert.equal(kernelRelease(Buffer.alloc(0x400)), null);
  assert.equal(kernelRelease(Buffer.from("MZ")), null);
  image.writeUInt16LE(0xffff, 0x20e);
  assert.equal(kernelRelease(image), null);
});

test("kernel command lines keep their quotes and lose what kexec must not see", () => {
  const line = 'BOOT_IMAGE=/vmlinuz root=UUID=1  dyndbg="file a.c +p" rd.luks.name=1=x retain_initrd quiet';
  assert.equal(cmdlineForKexec(line), 'root=UUID=1 dyndbg="file a.c +p" rd.luks.name=1=x quiet');
  assert.deepEqual(cmdlineValues(line, "rd.luks.name"), ["1=x"]);
  assert.deepEqual(cmdlineValues(line, "dyndbg"), ["file a.c +p"]);
  assert.deepEqual(cmdlineValues(line, "quiet"), [""]);
  fc.assert(
    fc.property(fc.string(), (text) => {
      assert.deepEqual(splitCmdline(splitCmdline(text).join(" ")), splitCmdline(text));
    }),
  );
});

test("crypttab: comments, absent fields, options", () => {
  const entries = parseInitramfsCrypttab(
    "# c\n\nroot UUID=1 none luks,discard,tries=5\n swap\t/dev/sdb\n home UUID=2 -  \n",
    "t",
  );
  assert.deepEqual(entries, [
    { name: "root", source: "UUID=1", key: "none", options: ["luks", "discard", "tries=5"] },
    { name: "swap", source: "/dev/sdb", key: "none", options: [] },
    { name: "home", source: "UUID=2", key: "none", options: [] },
  ]);
  const [root] = entries;
  assert.ok(root !== undefined);
  assert.equal(volumeOption(root, "tries"), "5");
  assert.equal(volumeOption(root, "discard"), "");
  assert.equal(volumeOption(root, "tr"), null);
  assert.equal(formatInitramfsVolume(root), "root UUID=1 none luks,discard,tries=5");
  // As systemd's sscanf() and Debian's scripts have it: a line of one word is passed over, and so
  // is what follows four.
  assert.deepEqual(parseInitramfsCrypttab("root\na b c d e # f\n", "t"), [
    { name: "a", source: "b", key: "c", options: ["d"] },
  ]);
});

test("os-release: quotes and escapes", () => {
  const values = parseOsRelease(`PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nX='a b'\nY="a\\"b"\n# z`);
  assert.deepEqual([...values.values()], ["Debian GNU/Linux 12 (bookworm)", "debian", "a b", 'a"b']);
});
