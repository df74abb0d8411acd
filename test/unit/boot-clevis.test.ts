import assert from "node:assert/strict";
import { test } from "node:test";
import { type ClevisTask, whyNoClevis } from "../../src/boot/clevis.ts";

const TANG: ClevisTask = { pins: ["tang"], urls: ["http://10.0.2.2:80"], luksVersion: 2, cmdline: "ro" };
const holding = (names: readonly string[]) => ({ has: (name: string) => names.includes(name) });
const bin = (...names: readonly string[]) => names.map((name) => `usr/bin/${name}`);

/** clevis-initramfs 19's hook. */
const TOOLS = [
  "scripts/local-top/clevis",
  ...bin(
    "clevis",
    "clevis-luks-list",
    "clevis-decrypt",
    "clevis-decrypt-tang",
    "clevis-decrypt-sss",
    "jose",
    "curl",
    "bash",
  ),
];
/** clevis-dracut 19's modules 60clevis, 60clevis-pin-tang. */
const DRACUT = [
  "usr/lib/systemd/system/clevis-luks-askpass.path",
  "usr/lib/systemd/system/clevis-luks-askpass.service",
  "etc/systemd/system/cryptsetup.target.wants/clevis-luks-askpass.path",
  "usr/libexec/clevis-luks-askpass",
  "usr/lib/systemd/systemd-reply-password",
  ...bin("clevis-luks-common-functions", "clevis-decrypt", "clevis-decrypt-tang", "jose", "curl"),
];
const what = (...args: Parameters<typeof whyNoClevis>) => whyNoClevis(...args)?.what ?? null;

test("initramfs-tools: each part of clevis that is not there is named", () => {
  assert.equal(what("initramfs-tools", holding(TOOLS), TANG), null);
  for (const name of TOOLS.filter((part) => !part.endsWith("sss"))) {
    const rest = holding(TOOLS.filter((other) => other !== name));
    assert.equal(what("initramfs-tools", rest, TANG), `the initramfs holds no ${name}`);
  }
  const sss = { ...TANG, pins: ["sss", "tang"] };
  assert.equal(what("initramfs-tools", holding(TOOLS), sss), null);
  assert.match(
    String(what("initramfs-tools", holding(TOOLS.filter((name) => !name.endsWith("sss"))), sss)),
    /decrypt-sss$/,
  );
  const luks1 = { ...TANG, luksVersion: 1 as const };
  assert.equal(what("initramfs-tools", holding(TOOLS), luks1), "the initramfs holds no usr/bin/luksmeta");
  assert.equal(what("initramfs-tools", holding([...TOOLS, "usr/bin/luksmeta"]), luks1), null);
});

test("dracut: the unit that answers has to be started, and the network asked for", () => {
  const online = { ...TANG, cmdline: "ro rd.neednet=1" };
  assert.equal(what("dracut-systemd", holding(DRACUT), online), null);
  assert.equal(what("dracut-systemd", holding(DRACUT), { ...TANG, cmdline: "ro rd.neednet" }), null);
  assert.match(String(what("dracut-systemd", holding(DRACUT), TANG)), /without rd\.neednet=1/);
  assert.match(
    String(what("dracut-systemd", holding(DRACUT), { ...TANG, cmdline: "rd.neednet=1 rd.neednet=0" })),
    /neednet/,
  );
  const unwanted = holding(DRACUT.filter((name) => !name.includes(".wants/")));
  assert.match(String(what("dracut-systemd", unwanted, online)), /nothing in the initramfs starts/);
  for (const name of DRACUT.filter((part) => !part.includes(".wants/"))) {
    assert.match(String(what("dracut-systemd", holding(DRACUT.filter((other) => other !== name)), online)), /holds no/);
  }
});

test("a network that is switched off, and a server that needs certificates", () => {
  assert.match(String(what("initramfs-tools", holding(TOOLS), { ...TANG, cmdline: "ip=off" })), /^ip=off /);
  assert.equal(what("initramfs-tools", holding(TOOLS), { ...TANG, cmdline: "ip=dhcp" }), null);
  const secure = { ...TANG, urls: ["https://keys.example.org/latch/x"] };
  assert.match(String(what("initramfs-tools", holding(TOOLS), secure)), /no certificates of authorities/);
  assert.equal(what("initramfs-tools", holding([...TOOLS, "etc/ssl/certs/ca-certificates.crt"]), secure), null);
});

test("stacks in which nobody knows how clevis runs", () => {
  for (const stack of ["dracut", "mkinitcpio", "mkinitcpio-systemd"] as const) {
    assert.match(String(what(stack, holding([...TOOLS, ...DRACUT]), TANG)), new RegExp(`of ${stack} nothing is known`));
  }
});
