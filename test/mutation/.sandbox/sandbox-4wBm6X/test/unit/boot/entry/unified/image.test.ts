// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { DEFAULT_ENTRY, findBootEntry } from "../../../../../src/boot/entry/entries.ts";
import { packStubFiles, placeOfImage } from "../../../../../src/boot/entry/unified/stub-additions.ts";
import { isError } from "../../../../../src/core/errors.ts";
import { CpioReader } from "../../../../../src/formats/initramfs/cpio.ts";
import { type PeSection, sectionsOfProfile, stubText } from "../../../../../src/formats/loader/uki.ts";
import { fakeSystem, type Programs } from "../../../../support/fake-files.ts";

type Sections = readonly (readonly [string, string])[];

/** A PE image with these sections, in this order. */
function pe(sections: Sections): Buffer {
  const headerBytes = 0x98 + sections.length * 40;
  const image = Buffer.alloc(headerBytes);
  image.write("MZ");
  image.writeUInt32LE(0x80, 0x3c);
  image.write("PE\0\0", 0x80);
  image.writeUInt16LE(sections.length, 0x86);
  let offset = headerBytes;
  for (const [index, [name, content]] of sections.entries()) {
    const at = 0x98 + index * 40;
    image.write(name, at);
    image.writeUInt32LE(content.length, at + 8);
    image.writeUInt32LE(content.length, at + 16);
    image.writeUInt32LE(offset, at + 20);
    offset += content.length;
  }
  return Buffer.concat([image, ...sections.map(([, content]) => Buffer.from(content))]);
}

const EFIVARS = "/sys/firmware/efi/efivars";
const VENDOR = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";
const LOADER = {
  [`${EFIVARS}/LoaderInfo-${VENDOR}`]: Buffer.concat([Buffer.alloc(4), Buffer.from("systemd-boot 257", "utf16le")]),
};
const SECURE = {
  [`${EFIVARS}/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c`]: Buffer.from([6, 0, 0, 0, 1]),
};
const IMAGE = "/efi/EFI/Linux/a+3-1.efi";
const BASE: Sections = [
  [".osrel", "ID=x\n"],
  [".cmdline", " root=x\nro \0"],
  [".uname", "6.12.9"],
  [".linux", "no bzImage"],
  [".initrd", "base"],
];
const RUNNING = { "/proc/cmdline": "root=running\n" };

function machine(files: Readonly<Record<string, string | Buffer>>, row: Readonly<Record<string, unknown>> = {}) {
  const rows = [{ type: "type2", id: "a.efi", path: IMAGE, root: "/efi", title: "A", isDefault: true, ...row }];
  const programs: Programs = (argv) => {
    if (argv[0] === "bootctl") return { stdout: JSON.stringify(rows) };
    const filesystems = ["/", "/efi"].map((target) => ({ target, uuid: target, fsroot: "/" }));
    return argv[0] === "findmnt" ? { stdout: JSON.stringify({ filesystems }) } : undefined;
  };
  return fakeSystem({ ...LOADER, ...RUNNING, ...files }, programs);
}

const entryOf = (...args: Parameters<typeof machine>) => findBootEntry(machine(...args), DEFAULT_ENTRY);
const refused = (pattern: RegExp) => (error: unknown) =>
  isError(error, "boot/unsupported") && pattern.test(`${error.message} ${error.remedy}`);
const content = (image: Buffer, section: PeSection | null) =>
  image.toString("latin1", section?.offsetBytes, Number(section?.offsetBytes) + Number(section?.lengthBytes));

test("of several profiles the one that bootctl tells is booted, over what is common to all", async () => {
  const image = pe([
    ...BASE,
    [".profile", "ID=main\n"],
    [".profile", "ID=other\n"],
    [".cmdline", "root=y"],
    [".initrd", "other"],
    [".initrd", "never"],
    [".profile", "ID=bare\n"],
    [".cmdline", ""],
  ]);
  const told = async (profile: number) => {
    const { cmdline, initrds, stubFiles } = await entryOf({ [IMAGE]: image }, { profile });
    return [cmdline, initrds.map(({ section }) => content(image, section)), stubFiles?.map(({ name }) => name)];
  };
  const extra = [".extra/os-release", ".extra/profile"];
  assert.deepEqual(await told(0), ["root=x ro", ["base"], extra]);
  assert.deepEqual(await told(1), ["root=y", ["other"], extra]);
  assert.deepEqual(await told(2), ["", ["base"], extra]);
  await assert.rejects(told(3), (error) => isError(error, "boot/no-entry") && /no profile 3/.test(error.message));
});

test("a section of a profile is its own or the base's, whatever the table", () => {
  const names = fc.constantFrom(".linux", ".initrd", ".cmdline", ".profile");
  const table = fc.array(fc.record({ name: names, lengthBytes: fc.nat(2), offsetBytes: fc.nat() }), { maxLength: 12 });
  fc.assert(
    fc.property(table, fc.nat(3), (sections, profile) => {
      // As pe_locate_profile_sections of systemd's pe.c is called twice: for the base, then for the
      // profile.
      let number = -1;
      const numbers = sections.map(({ name }) => (name === ".profile" ? ++number : number));
      const of = (wanted: number) => sections.filter((_, index) => numbers[index] === wanted);
      const found = sectionsOfProfile(sections, profile);
      if (of(profile).length === 0 && profile > 0) return assert.equal(found, null);
      for (const wanted of [".linux", ".initrd", ".cmdline", ".profile"]) {
        const [own, base] = [profile, -1].map((number) => of(number).find(({ name }) => name === wanted));
        const expected = own ?? base;
        assert.equal(found?.get(wanted), expected?.lengthBytes === 0 ? undefined : expected);
      }
    }),
  );
});

test("text of a section, as the stub hands it on", () => {
  assert.equal(stubText(Buffer.from("\n root=x\t ro\n\n\0behind")), "root=x  ro");
  assert.equal(stubText(Buffer.from("\u0000root=x")), "");
});

test("an image that is named brings its own command line, and a kernel gets the running one", async () => {
  const files = { [IMAGE]: pe(BASE), "/boot/vmlinuz": "a kernel" };
  const named = (kernel: string, cmdline: string | null = null) =>
    findBootEntry(machine(files), { ...DEFAULT_ENTRY, kernel, cmdline });
  assert.equal((await named(IMAGE)).cmdline, "root=x ro");
  assert.equal((await named(IMAGE, "mine")).cmdline, "mine");
  assert.equal((await named("/boot/vmlinuz")).cmdline, "root=running");
});

test("an entry's options come before the image's command line, except under Secure Boot", async () => {
  const row = { type: "type1", path: "/efi/loader/entries/a.conf", uki: "/EFI/Linux/a+3-1.efi", options: "root=z" };
  const files = { [IMAGE]: pe(BASE) };
  assert.equal((await entryOf(files, row)).cmdline, "root=z");
  assert.equal((await entryOf({ ...files, ...SECURE }, row)).cmdline, "root=x ro");
  const bare = { [IMAGE]: pe(BASE.filter(([name]) => name !== ".cmdline")) };
  assert.equal((await entryOf({ ...bare, ...SECURE }, row)).cmdline, "root=z");
  const { uki, ...efi } = row;
  assert.equal((await entryOf(files, { ...efi, efi: uki })).cmdline, "root=z");
  await assert.rejects(entryOf(files, efi), refused(/boots no Linux/));
});

test("an image may hold no more than a kernel: the entry's initrds are taken, behind microcode and before the image's own", async () => {
  const row = {
    type: "type1",
    path: "/efi/x.conf",
    linux: "/EFI/Linux/a+3-1.efi",
    options: "o",
    initrd: ["/one", "/two"],
  };
  const bare = pe([[".linux", "no bzImage"]]);
  const named = async (image: Buffer) =>
    (await entryOf({ [IMAGE]: image }, row)).initrds.map(({ path, section }) => section?.name ?? path);
  assert.deepEqual(await named(bare), ["/efi/one", "/efi/two"]);
  assert.deepEqual(await named(pe([...BASE, [".ucode", "u"]])), [".ucode", "/efi/one", "/efi/two", ".initrd"]);
});

test("addons come behind the command line, the common ones first, each in the order of its name", async () => {
  const addon = (cmdline: string, more: Sections = []) => pe([[".cmdline", cmdline], ...more]);
  const files = {
    [IMAGE]: pe(BASE),
    "/efi/loader/addons/b.addon.efi": addon("b=1\n"),
    "/efi/loader/addons/B.ADDON.EFI": addon("B=1"),
    "/efi/loader/addons/.c.addon.efi": addon("hidden"),
    "/efi/loader/addons/other.efi": addon("no-addon"),
    "/efi/loader/addons/folder.addon.efi/x": "",
    "/efi/loader/addons/empty.addon.efi": "",
    "/efi/EFI/Linux/a.efi.extra.d/z.addon.efi": addon("z=1", [[".uname", "6.12.9"]]),
    "/efi/EFI/Linux/a.efi.extra.d/y.addon.efi": addon("y=1", [[".uname", "6.12.10"]]),
    "/efi/EFI/Linux/a.efi.extra.d/x.addon.efi": addon("x=1", [[".linux", "k"]]),
    "/efi/EFI/Linux/b.efi.extra.d/w.addon.efi": addon("w=1"),
  };
  assert.equal((await entryOf(files)).cmdline, "root=x ro B=1 b=1 z=1");
  await assert.rejects(entryOf({ ...files, ...SECURE }), refused(/B\.ADDON\.EFI.* --cmdline/));
  const told = await findBootEntry(machine({ ...files, ...SECURE }), { ...DEFAULT_ENTRY, cmdline: "root=told" });
  assert.equal(told.cmdline, "root=told");
  const more = { ...files, "/efi/loader/addons/i.addon.efi": addon("i=1", [[".initrd", "i"]]) };
  await assert.rejects(entryOf(more), refused(/i\.addon\.efi adds more .*\.initrd/));
});

test("what the stub packs for the initramfs comes along, where systemd looks for it", async () => {
  const own = "/efi/EFI/Linux/a.efi.extra.d";
  const power = machine({
    [IMAGE]: pe([...BASE, [".pcrsig", "{}"], [".pcrpkey", "PEM"]]),
    [`${own}/a.cred`]: "one",
    [`${own}/a.raw`]: "two",
    [`${own}/a.confext.raw`]: "three",
    [`${own}/readme.txt`]: "never",
    "/efi/loader/credentials/b.cred": "four",
    "/efi/loader/extensions/b.raw": "five",
    "/efi/loader/extensions/b.confext.raw": "six",
  });
  const entry = await findBootEntry(power, DEFAULT_ENTRY);
  const [archive = Buffer.alloc(0), ...others] = await packStubFiles(power, entry.stubFiles ?? []);
  assert.equal(others.length, 0);
  const packed: [string, string, string | null][] = [];
  const reader = new CpioReader(
    () => true,
    ({ name, mode }, bytes) => packed.push([name, mode.toString(8), bytes?.toString() ?? null]),
  );
  assert.deepEqual(archive.subarray(0, 4), Buffer.alloc(4));
  reader.push(archive.subarray(4));
  assert.deepEqual(packed, [
    [".extra", "40555", ""],
    [".extra/credentials", "40500", ""],
    [".extra/credentials/a.cred", "100400", "one"],
    [".extra/global_credentials", "40500", ""],
    [".extra/global_credentials/b.cred", "100400", "four"],
    [".extra/sysext", "40555", ""],
    [".extra/sysext/a.raw", "100444", "two"],
    [".extra/global_sysext", "40555", ""],
    [".extra/global_sysext/b.raw", "100444", "five"],
    [".extra/confext", "40555", ""],
    [".extra/confext/a.confext.raw", "100444", "three"],
    [".extra/global_confext", "40555", ""],
    [".extra/global_confext/b.confext.raw", "100444", "six"],
    [".extra/tpm2-pcr-signature.json", "100444", "{}"],
    [".extra/tpm2-pcr-public-key.pem", "100444", "PEM"],
    [".extra/os-release", "100444", "ID=x\n"],
  ]);
  assert.match(entry.notes.join(), /a\.cred, b\.cred, a\.raw, b\.raw, a\.confext\.raw, \.\.\./);
});

test("too much beside an image is refused, not cut off", async () => {
  const many = Object.fromEntries(
    Array.from({ length: 1001 }, (_, index) => [`/efi/loader/credentials/${index}.cred`, ""]),
  );
  await assert.rejects(entryOf({ [IMAGE]: pe(BASE), ...many }), refused(/1001 files lie beside/));
});

test("a boot counter is none of the folder's name", () => {
  const folder = (path: string) => placeOfImage("/efi", `/efi${path}`).folder;
  assert.equal(folder("/EFI/Linux/a+3.efi"), "/efi/EFI/Linux/a.efi.extra.d");
  assert.equal(folder("/EFI/Linux/a+3-1.efi"), "/efi/EFI/Linux/a.efi.extra.d");
  assert.equal(folder("/EFI/Linux/6.12.9+deb13-amd64.efi"), "/efi/EFI/Linux/6.12.9+deb13-amd64.efi.extra.d");
  assert.equal(folder("/EFI/Linux/6.12.9+deb13+3.efi"), "/efi/EFI/Linux/6.12.9+deb13+3.efi.extra.d");
  assert.equal(placeOfImage("/", "/a.efi").folder, "/a.efi.extra.d");
});

test("an image that the firmware started itself leaves the next boot untold", async () => {
  const files = {
    [`${EFIVARS}/LoaderInfo-${VENDOR}`]: "",
    [`${EFIVARS}/StubInfo-${VENDOR}`]: "stub",
    "/boot/vmlinuz-6.1.1": "k",
    "/boot/initrd.img-6.1.1": "i",
    "/lib/modules/6.1.1/modules.dep": "",
    [IMAGE]: pe(BASE),
  };
  await assert.rejects(entryOf(files), refused(/perhaps by the firmware itself .*--kernel/));
  const named = await findBootEntry(machine(files), { ...DEFAULT_ENTRY, kernel: IMAGE });
  assert.equal(named.cmdline, "root=x ro");
});
