// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import { DEFAULT_ENTRY, findBootEntry, LOADERS } from "../../../../src/boot/entry/entries.ts";
import { wholeFile } from "../../../../src/boot/entry/entry.ts";
import { type Loader, noSuchEntry } from "../../../../src/boot/entry/loader.ts";
import type { OneshotLoader, OneshotPower } from "../../../../src/boot/oneshot/loader.ts";
import { disarmOneshot, findOneshot, prepareOneshot } from "../../../../src/boot/oneshot/oneshot.ts";
import { isError } from "../../../../src/core/errors.ts";
import { fakeSystem, type Programs } from "../../../support/fake-files.ts";

const MENU = "/boot/lines/menu";
const STARTED = "/sys/firmware/lines";

/** A whole new boot loader: `NAME KERNEL INITRD OPTIONS…` a line, the first of which boots. */
const lines: Loader = {
  name: "lines",
  hasStarted: async (power) => (await power.stat(STARTED)) !== null,
  listConfigurations: async (power) => ((await power.stat(MENU)) === null ? [] : [MENU]),
  async readEntry(power, { wanted }) {
    const menu = (await power.readFile(MENU, 4096)).toString("utf8").split("\n");
    const found = menu.map((line) => line.split(" ")).find(([name]) => wanted === null || name === wanted);
    if (found === undefined) throw noSuchEntry("lines", wanted, MENU);
    const [id = "", kernel = "", initrd = "", ...options] = found;
    return {
      title: id,
      source: "lines",
      once: false,
      id,
      kernel: wholeFile(kernel),
      initrds: [wholeFile(initrd)],
      cmdline: options.join(" "),
      release: null,
      notes: [],
    };
  },
};

/** The one line. */
const loaders = [...LOADERS, lines];

const FILES = {
  [MENU]: "one /boot/vmlinuz /boot/initrd root=/dev/sda1 ro\nother /boot/vmlinuz /boot/initrd single",
  "/boot/vmlinuz": "a kernel",
  "/boot/initrd": "an initramfs",
};
const GRUB = { "/boot/grub/grub.cfg": "menuentry Debian { linux /boot/vmlinuz ro\ninitrd /boot/initrd }" };
const programs: Programs = ([program]) =>
  program === "findmnt" ? { stdout: '{"filesystems":[{"target":"/","uuid":"r","fsroot":"/"}]}' } : undefined;
const machine = (more: Readonly<Record<string, string>> = {}) => fakeSystem({ ...FILES, ...more }, programs);

test("a new boot loader is its own file and one line in the list: its entry boots, or the one that is named", async () => {
  const entry = await findBootEntry(machine(), DEFAULT_ENTRY, loaders);
  assert.deepEqual([entry.source, entry.id, entry.cmdline], ["lines", "one", "root=/dev/sda1 ro"]);
  const named = await findBootEntry(machine(), { ...DEFAULT_ENTRY, entry: "other" }, loaders);
  assert.deepEqual([named.id, named.cmdline], ["other", "single"]);
  await assert.rejects(findBootEntry(machine(), { ...DEFAULT_ENTRY, entry: "third" }, loaders), (error) =>
    isError(error, "boot/no-entry"),
  );
});

test("beside another loader it is for a person to tell, but where it says that it started this system", async () => {
  await assert.rejects(findBootEntry(machine(GRUB), DEFAULT_ENTRY, loaders), {
    code: "boot/ambiguous",
    message: `there is more than one boot loader: /boot/grub/grub.cfg, ${MENU}`,
  });
  assert.equal((await findBootEntry(machine({ ...GRUB, [STARTED]: "" }), DEFAULT_ENTRY, loaders)).source, "lines");
  assert.equal((await findBootEntry(machine(GRUB), DEFAULT_ENTRY)).source, "grub");
});

test("its one-time boot is one more line; without one there is none", async () => {
  const power = machine() as unknown as OneshotPower;
  const entry = await findBootEntry(machine(), DEFAULT_ENTRY, loaders);
  const request = { entry, cmdline: "ro", initrdBytes: 10 };
  await assert.rejects(prepareOneshot(power, request), {
    code: "oneshot/unavailable",
    message: "a one-time boot is not possible here: lines has no one-time choice",
  });
  const calls: string[] = [];
  const linesOnce: OneshotLoader = {
    name: "Lines",
    source: "lines",
    prepare: async () => ({
      loader: "Lines",
      overlay: "/boot/nightlatch/oneshot.cpio",
      fileSystem: { target: "/", source: "", type: "ext4", uuid: "", root: "/", options: [], isEncrypted: false },
      arm: async () => {},
    }),
    find: async () => ({ entry: MENU, mark: null, isChosen: true }),
    unchoose: async () => calls.push("unchoose") > 0,
    removeEntry: async () => {
      calls.push("removeEntry");
      return [MENU];
    },
  };
  assert.equal((await prepareOneshot(power, request, [linesOnce])).loader, "Lines");
  assert.equal((await findOneshot(power, [linesOnce]))?.loader, "Lines");
  const { removed } = await disarmOneshot(power, [linesOnce]);
  assert.deepEqual(removed, ["the one-time choice of Lines", MENU]);
  assert.deepEqual(calls, ["unchoose", "removeEntry"]);
});
