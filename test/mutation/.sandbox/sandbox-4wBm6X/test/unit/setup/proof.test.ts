// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import type { InitramfsFacts } from "../../../src/boot/initramfs/inspect.ts";
import { whyNotProved } from "../../../src/setup/proof.ts";

const RELEASE = "6.1.0";
const MODULE = `usr/lib/modules/${RELEASE}/kernel/fs/ext4.ko`;

function facts(more: Partial<InitramfsFacts> = {}): InitramfsFacts {
  return {
    generator: "initramfs-tools",
    opensLuks: true,
    crypttab: "cryptroot UUID=1 none luks\ncryptswap UUID=2 none luks,swap\n",
    ownCmdline: "",
    has: () => true,
    leads: () => true,
    content: () => null,
    names: new Set([MODULE, "usr/bin/busybox", "etc/fstab"]),
    releases: [RELEASE],
    ...more,
  };
}
const why = (after: InitramfsFacts, lacks: { what: string }[] = []) =>
  whyNotProved({ before: facts(), after, cmdline: "ro", release: RELEASE }, lacks);

test("what opens the same and has lost nothing is proved, whatever it gained", () => {
  assert.equal(why(facts()), null);
  assert.equal(why(facts({ names: new Set([MODULE, "usr/bin/busybox", "usr/bin/clevis"]) })), null);
  const more = "data UUID=3 none luks\ncryptswap UUID=2 none luks,swap\ncryptroot UUID=1 none luks\n";
  assert.equal(why(facts({ crypttab: more })), null);
});

test("each thing that a boot needs and is not there is named", () => {
  assert.match(String(why(facts({ generator: "dracut-systemd" }))), /not made as/);
  assert.match(String(why(facts({ generator: null }))), /not made as/);
  assert.match(String(why(facts({ opensLuks: false }))), /cannot open LUKS/);
  assert.match(String(why(facts({ crypttab: "cryptroot UUID=1 none luks\n" }))), /does not open cryptswap UUID=2/);
  assert.match(String(why(facts({ crypttab: null }))), /does not open cryptroot UUID=1/);
  assert.match(String(why(facts({ releases: ["6.2.0"] }))), /no modules of the kernel 6\.1\.0/);
  assert.match(String(why(facts({ names: new Set(["usr/bin/busybox"]) }))), new RegExp(`has lost ${MODULE}`));
  assert.match(String(why(facts({ names: new Set([MODULE]) }))), /has lost usr\/bin\/busybox/);
  assert.equal(why(facts(), [{ what: "it has no clevis" }, { what: "more" }]), "it has no clevis");
});

test("one shell may take the place of another, where sh leads to it", () => {
  const dash = facts({ names: new Set([MODULE, "usr/bin/dash"]) });
  const judge = (after: InitramfsFacts) => whyNotProved({ before: dash, after, cmdline: "ro", release: RELEASE }, []);
  assert.equal(judge(facts({ names: new Set([MODULE, "usr/bin/bash"]) })), null);
  assert.match(String(judge(facts({ names: new Set([MODULE]) }))), /has lost usr\/bin\/dash/);
  const dangling = facts({ names: new Set([MODULE, "usr/bin/bash"]), leads: () => false });
  assert.match(String(judge(dangling)), /has lost usr\/bin\/dash/);
});
