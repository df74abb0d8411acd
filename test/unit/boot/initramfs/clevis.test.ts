import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { type ClevisTask, clevisLacks, whyNoDeadline } from "../../../../src/boot/initramfs/clevis.ts";
import { mendingOf } from "../../../../src/boot/initramfs/mending.ts";
import { whyNoDriver } from "../../../../src/boot/initramfs/network-driver.ts";
import type { ServerName } from "../../../../src/boot/initramfs/server-name.ts";
import { whyNoTpmDriver } from "../../../../src/boot/initramfs/tpm-driver.ts";
import { fakeSystem, type Programs } from "../../../support/fake-files.ts";

const DEBIAN = mendingOf("initramfs-tools", new Map([["ID", "debian"]]));
const TANG: ClevisTask = {
  pins: ["tang"],
  network: true,
  urls: ["http://10.0.2.2:80"],
  luksVersion: 2,
  cmdline: "ro",
  mending: DEBIAN,
  names: new Map(),
  rebind: (url, address) => `rebind ${url} to ${address}`,
};
const holding = (names: readonly string[]) => ({
  has: (name: string) => names.includes(name),
  names: new Set(names),
});
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
const what = (...args: Parameters<typeof clevisLacks>) => clevisLacks(...args)[0]?.what ?? null;

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
  for (const ip of ["dhcp", "on", "192.0.2.7"]) {
    const told = String(what("initramfs-tools", holding(TOOLS), { ...TANG, cmdline: `ro ip=${ip}` }));
    assert.match(told, new RegExp(`^ip=${ip} .* for the name of a network card`));
  }
  for (const ip of [":::::eth0:dhcp", "192.0.2.7::192.0.2.1:255.255.255.0:nas:eth0:off"])
    assert.equal(what("initramfs-tools", holding(TOOLS), { ...TANG, cmdline: `ip=${ip}` }), null);
  const secure = { ...TANG, urls: ["https://keys.example.org/latch/x"] };
  assert.match(String(what("initramfs-tools", holding(TOOLS), secure)), /no certificates of authorities/);
  assert.equal(what("initramfs-tools", holding([...TOOLS, "etc/ssl/certs/ca-certificates.crt"]), secure), null);
});

test("what clevis takes for the name of a card, and waits for, is told, and nothing else", () => {
  // As clevis-initramfs 19-2 has it.
  const theirs = `get_specified_device() {
    local dev="$(echo $IP | cut -d: -f6)"
    [ -z "$dev" ] || echo $dev
}
get_specified_device`;
  for (const ip of ["dhcp", "on", "any", "off", "192.0.2.7", ":::::eth0:dhcp", "192.0.2.7:::::eth0", "::::nas::dhcp"]) {
    const { stdout } = spawnSync("sh", ["-c", theirs], { env: { ...process.env, IP: ip }, encoding: "utf8" });
    const isCard = ["", "eth0"].includes(stdout.trim());
    assert.equal(what("initramfs-tools", holding(TOOLS), { ...TANG, cmdline: `ip=${ip}` }) === null, isCard, ip);
  }
});

test("a name that the initramfs does not know, and an address in its place", () => {
  const url = "http://keys:7654/latch/x";
  const lack = (kind: ServerName["kind"] | null, cmdline = "ro") => {
    const names = new Map(kind === null ? [] : [["keys", { kind, address: "192.0.2.1" }] as const]);
    const [first] = clevisLacks("initramfs-tools", holding(TOOLS), { ...TANG, urls: [url], cmdline, names });
    return first;
  };
  for (const kind of ["here", "hosts", "hosts-perhaps", "other"] as const) {
    assert.equal(lack(kind)?.code, "name", kind);
    assert.equal(lack(kind)?.remedy, `rebind ${url} to 192.0.2.1`);
  }
  for (const kind of ["dns", "unknown", null] as const) assert.equal(lack(kind), undefined, String(kind));
  const fixed = "ip=10.0.0.2::10.0.0.1:255.255.255.0:nas:eth0:none";
  assert.match(String(lack("dns", fixed)?.what), /gives the initramfs no name server/);
  for (const cmdline of [`${fixed}:10.0.0.1`, `${fixed} nameserver=10.0.0.1`, "ip=:::::eth0:dhcp", "ip=eth0:dhcp"])
    assert.equal(lack("dns", cmdline), undefined, cmdline);
  const byAddress = { ...TANG, cmdline: fixed, names: new Map() };
  assert.deepEqual(clevisLacks("initramfs-tools", holding(TOOLS), byAddress), []);
});

test("everything that is missing is told at once", () => {
  const task = {
    ...TANG,
    urls: ["https://keys.example.org"],
    mending: mendingOf("dracut", new Map([["ID", "fedora"]])),
  };
  const lacks = clevisLacks("dracut-systemd", holding([]), task);
  assert.deepEqual(
    lacks.map(({ code }) => code),
    ["clevis", "network", "certificates"],
  );
  assert.equal(lacks[0]?.remedy, "dnf install clevis-dracut\ndracut --force --regenerate-all");
});

test("a deadline is our own parts, all of them; of other generators nothing is said", () => {
  const parts = {
    "initramfs-tools": ["etc/nightlatch/.curlrc", "conf/conf.d/nightlatch"],
    "dracut-systemd": [
      "etc/nightlatch/.curlrc",
      "usr/lib/systemd/system/clevis-luks-askpass.service.d/nightlatch.conf",
    ],
  } as const;
  for (const [generator, names] of Object.entries(parts) as [keyof typeof parts, readonly string[]][]) {
    assert.equal(whyNoDeadline({ generator, ...holding(names) }, DEBIAN), null, generator);
    for (const left of names) {
      const why = whyNoDeadline({ generator, ...holding(names.filter((name) => name !== left)) }, DEBIAN);
      assert.equal(why?.remedy, "update-initramfs -u -k all", left);
    }
  }
  for (const generator of ["dracut", "mkinitcpio", null] as const) {
    assert.equal(whyNoDeadline({ generator, ...holding([]) }, DEBIAN), null);
  }
});

test("stacks in which nobody knows how clevis runs", () => {
  for (const generator of ["dracut", "mkinitcpio", "mkinitcpio-systemd"] as const) {
    assert.match(
      String(what(generator, holding([...TOOLS, ...DRACUT]), TANG)),
      new RegExp(`of ${generator} nothing is known`),
    );
  }
});

/**
 * Cards by name: whether they carry a signal, and their driver's module; null for one that is built
 * in, undefined for no hardware.
 */
type Cards = Readonly<Record<string, readonly [state: string, module: string | null | undefined]>>;

function machineWith(cards: Cards, builtin = false) {
  const files = Object.fromEntries(
    Object.entries(cards).map(([name, [state]]) => [`/sys/class/net/${name}/operstate`, `${state}\n`]),
  );
  const links: Record<string, string> = {};
  for (const [name, [, module]] of Object.entries(cards)) {
    const driver = `/sys/class/net/${name}/device/driver`;
    if (module !== undefined) links[driver] = "/sys/bus/pci/drivers/x";
    if (typeof module === "string") links[`${driver}/module`] = `/sys/module/${module}`;
  }
  const modinfo: Programs = (argv) => ({
    stdout: builtin ? "(builtin)\n" : `/lib/modules/6.12/kernel/drivers/net/${argv.at(-1)}.ko.xz\n`,
  });
  return fakeSystem(files, modinfo, links);
}

test("an initramfs without the driver of any card that carries a signal has no network", async () => {
  const held = holding(["/lib/modules/6.12/kernel/drivers/net/e1000e.ko.xz"]);
  const unpacked = holding(["/lib/modules/6.12/kernel/drivers/net/e1000e.ko"]);
  const none = holding([]);
  const two: Cards = { eth0: ["up", "e1000e"], wlan0: ["up", "iwlwifi"], lo: ["unknown", undefined] };
  for (const facts of [held, unpacked]) assert.equal(await whyNoDriver(machineWith(two), facts, "6.12", DEBIAN), null);
  assert.match(String((await whyNoDriver(machineWith(two), none, "6.12", DEBIAN))?.what), /\(e1000e, iwlwifi\)$/);
  const idle: Cards = { eth0: ["down", "e1000e"], wlan0: ["up", "iwlwifi"] };
  assert.match(String((await whyNoDriver(machineWith(idle), held, "6.12", DEBIAN))?.what), /\(iwlwifi\)$/);
  assert.equal(await whyNoDriver(machineWith({ eth0: ["up", null] }), none, "6.12", DEBIAN), null, "built in");
  assert.equal(
    await whyNoDriver(machineWith({ eth0: ["up", "e1000e"] }, true), none, "6.12", DEBIAN),
    null,
    "in that kernel",
  );
  assert.equal(
    await whyNoDriver(machineWith({ br0: ["up", undefined] }), none, "6.12", DEBIAN),
    null,
    "nothing to tell it by",
  );
  const asked = machineWith({ eth0: ["up", "e1000e"] });
  await whyNoDriver(asked, none, "6.12", DEBIAN);
  assert.deepEqual(asked.ran.at(-1), ["modinfo", "-k", "6.12", "-F", "filename", "e1000e"]);
});

test("a card needs the driver of the bus that it hangs on, and what its modules need", async () => {
  const device = "/sys/devices/pci0000:00/0000:00:03.0/virtio0";
  const links = {
    "/sys/class/net/ens3/device": device,
    "/sys/class/net/ens3/device/driver": "/sys/bus/virtio/drivers/virtio_net",
    "/sys/class/net/ens3/device/driver/module": "/sys/module/virtio_net",
    "/sys/devices/pci0000:00/0000:00:03.0/driver/module": "/sys/module/virtio_pci",
  };
  const needs: Readonly<Record<string, string>> = {
    virtio_net: "net_failover",
    net_failover: "failover",
    failover: "net_failover",
  };
  const modinfo: Programs = (argv) => {
    const driver = String(argv.at(-1));
    return { stdout: argv.includes("depends") ? `${needs[driver] ?? ""}\n` : `/lib/modules/6.12/${driver}.ko\n` };
  };
  const system = fakeSystem({ "/sys/class/net/ens3/operstate": "up\n" }, modinfo, links);
  const all = ["virtio_net", "virtio_pci", "net_failover", "failover"];
  const whyWithout = async (left: string | null) => {
    const held = holding(all.filter((driver) => driver !== left).map((driver) => `/lib/modules/6.12/${driver}.ko`));
    return await whyNoDriver(system, held, "6.12", DEBIAN);
  };
  assert.equal(await whyWithout(null), null);
  assert.match(String((await whyWithout("virtio_pci"))?.what), /\(virtio_pci\)$/);
  for (const left of ["virtio_net", "net_failover", "failover"]) {
    assert.match(String((await whyWithout(left))?.what), /\(virtio_net\)$/, left);
  }
  assert.match(String((await whyWithout("virtio_pci"))?.remedy), /'force_load virtio_pci'/);
});

test("a TPM whose driver is a module wants it in the initramfs, beside that of a network card", async () => {
  const machine = (links: Record<string, string>, builtin = false) =>
    fakeSystem(
      { "/sys/class/tpm/tpm0/dev": "10:224\n" },
      (argv) => ({
        stdout: builtin ? "(builtin)\n" : `/lib/modules/6.12/kernel/drivers/char/tpm/${argv.at(-1)}.ko.xz\n`,
      }),
      links,
    );
  const module = { "/sys/class/tpm/tpm0/device/driver/module": "/sys/module/tpm_crb" };
  const held = holding(["/lib/modules/6.12/kernel/drivers/char/tpm/tpm_crb.ko.xz"]);
  const none = holding([]);
  const lack = await whyNoTpmDriver(machine(module), none, "6.12", DEBIAN);
  assert.equal(lack?.what, "the initramfs holds no driver of the machine's TPM (tpm_crb)");
  assert.match(lack.remedy, /force_load tpm_crb' > \/etc\/initramfs-tools\/hooks\/nightlatch-tpm-driver/);
  assert.equal(await whyNoTpmDriver(machine(module), held, "6.12", DEBIAN), null);
  assert.equal(await whyNoTpmDriver(machine(module, true), none, "6.12", DEBIAN), null, "in that kernel");
  assert.equal(await whyNoTpmDriver(machine({}), none, "6.12", DEBIAN), null, "built in");
  assert.equal(
    await whyNoTpmDriver(
      fakeSystem({}, () => ({}), module),
      none,
      "6.12",
      DEBIAN,
    ),
    null,
    "no chip",
  );
});
