// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import type { BootEntry } from "../../../../src/boot/entry/entry.ts";
import { wholeFile } from "../../../../src/boot/entry/entry.ts";
import type { StagePower } from "../../../../src/reboot/stage/carrier.ts";
import { KEXEC } from "../../../../src/reboot/stage/carrier-kexec.ts";

test("a kexec into an entry that was chosen for one boot says that the choice stays", async () => {
  const entry: BootEntry = {
    title: "Debian",
    source: "grub",
    once: true,
    id: "0",
    kernel: wholeFile("/boot/vmlinuz"),
    initrds: [],
    cmdline: "",
    release: null,
    notes: [],
  };
  const none = Buffer.alloc(0);
  const plan = { entry, cmdline: "", kernel: none, initrds: [], generator: null, facts: null, volumes: [] };
  const carry = (once: boolean) => KEXEC.prepare({} as StagePower, { ...plan, entry: { ...entry, once } });
  assert.match((await carry(true)).warnings.join(), /the next boot through the firmware takes it once more/);
  assert.deepEqual((await carry(false)).warnings, []);
});
