// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import { type HostNetwork, readHostNetwork } from "../../../../src/boot/initramfs/host-network.ts";
import { mendingOf } from "../../../../src/boot/initramfs/mending.ts";
import { readNameServers } from "../../../../src/boot/initramfs/name-servers.ts";
import { networkLacks } from "../../../../src/boot/initramfs/network.ts";
import type { ServerName } from "../../../../src/boot/initramfs/server-name.ts";
import { formatFixedNetwork, NO_FIXED_NETWORK } from "../../../../src/formats/own/initramfs-network.ts";
import { fakeSystem } from "../../../support/fake-files.ts";

const DEBIAN = new Map([["ID", "debian"]]);
const NETWORK = {
  card: "ens3",
  mac: "52:54:00:12:34:56",
  addresses: ["192.0.2.10/24", "2001:db8::10/64"],
  gateways: ["192.0.2.1", "fe80::1"],
  nameServers: ["192.0.2.53"],
};
const FIXED: HostNetwork = { kind: "fixed", network: NETWORK };
const DYNAMIC: HostNetwork = { kind: "dynamic", card: "ens3", others: [], announced: null };
const TEXT = formatFixedNetwork(NETWORK);
const TOOLS_FILE = "conf/conf.d/nightlatch-network";
const DRACUT_FILE = "etc/nightlatch/network";
const PARTS = { "usr/libexec/nightlatch-network": "", "usr/bin/ip": "" };

type Files = Readonly<Record<string, string>>;

function lacks(
  generator: "initramfs-tools" | "dracut-systemd",
  host: HostNetwork,
  files: Files,
  cmdline = "ro",
  kind: ServerName["kind"] = "dns",
) {
  const names = new Set(Object.keys(files));
  const facts = {
    generator,
    names,
    has: (name: string) => names.has(name),
    content: (name: string) => files[name] ?? null,
  };
  const mending = mendingOf(generator === "initramfs-tools" ? "initramfs-tools" : "dracut", DEBIAN);
  const task = {
    urls: ["http://keys:80"],
    names: new Map([["keys", { kind, address: "192.0.2.7" } as const]]),
    rebind: (url: string, address: string | null) => `rebind ${url} to ${address}`,
  };
  return networkLacks(facts, { host, cmdline, mending, ...task });
}

test("a fixed address that the initramfs does not have, has otherwise, or cannot give", () => {
  const ready: Files = { ...PARTS, [TOOLS_FILE]: TEXT };
  assert.deepEqual(lacks("initramfs-tools", FIXED, ready), []);
  const [missing] = lacks("initramfs-tools", FIXED, PARTS);
  assert.equal(missing?.code, "network");
  assert.match(
    String(missing?.what),
    /fixed address 192\.0\.2\.10\/24 and 2001:db8::10\/64, and .* asks for one by DHCP/,
  );
  assert.deepEqual(missing?.steps, [
    { kind: "file", path: "/etc/initramfs-tools/conf.d/nightlatch-network", text: TEXT, mode: 0o644 },
    { kind: "rebuild" },
  ]);
  const other = { ...ready, [TOOLS_FILE]: TEXT.replace("192.0.2.10", "192.0.2.11") };
  assert.match(String(lacks("initramfs-tools", FIXED, other)[0]?.what), /the initramfs has another network/);
  for (const part of Object.keys(PARTS)) {
    const rest = Object.fromEntries(Object.entries(ready).filter(([name]) => name !== part));
    assert.equal(lacks("initramfs-tools", FIXED, rest)[0]?.remedy, "update-initramfs -u -k all", part);
  }
});

test("dracut: the file alone does nothing, and whichever part brings up the network has to have the address", () => {
  const [missing] = lacks("dracut-systemd", FIXED, {});
  assert.equal(
    missing?.steps?.[0]?.kind === "file" && missing.steps[0].path,
    "/etc/dracut.conf.d/nightlatch-address.conf",
  );
  const unit = "[Network]\nAddress=192.0.2.10/24\nAddress=2001:db8::10/64\n";
  const words = "ip=192.0.2.10::192.0.2.1:24::ens3:none\nip=[2001:db8::10]::[fe80::1]:64::ens3:none\n";
  const file = { [DRACUT_FILE]: TEXT };
  for (const [name, text] of [
    ["etc/systemd/network/zzzz-dracut-default.network", unit],
    ["usr/lib/dracut/default.network", unit],
    ["etc/systemd/network/zzzz-nightlatch.network", unit],
    ["etc/cmdline.d/90-nightlatch-network.conf", words],
  ] as const) {
    assert.deepEqual(
      lacks("dracut-systemd", FIXED, { ...file, [name]: text }, name.includes("cmdline") ? words : "ro"),
      [],
    );
    const plain = { ...file, [name]: "[Network]\nDHCP=yes\n" };
    assert.equal(lacks("dracut-systemd", FIXED, plain)[0]?.remedy, "dracut --force --regenerate-all", name);
  }
  assert.match(String(lacks("dracut-systemd", FIXED, file)[0]?.what), /holds nothing that gives it to the card/);
});

test("an address that came by DHCP after all is taken back", () => {
  for (const [generator, path] of [
    ["initramfs-tools", TOOLS_FILE],
    ["dracut-systemd", DRACUT_FILE],
  ] as const) {
    assert.deepEqual(lacks(generator, DYNAMIC, {}), []);
    assert.deepEqual(lacks(generator, DYNAMIC, { [path]: NO_FIXED_NETWORK }), []);
    const [lack] = lacks(generator, DYNAMIC, { [path]: TEXT });
    assert.match(String(lack?.what), /gives ens3 a fixed address/);
    assert.equal(lack?.steps?.[0]?.kind === "file" && lack.steps[0].text, NO_FIXED_NETWORK);
  }
});

test("several cards with a signal: initramfs-tools is told which one to ask by", () => {
  const host: HostNetwork = { kind: "dynamic", card: "ens3", others: ["ens4"], announced: null };
  const [lack] = lacks("initramfs-tools", host, {});
  assert.match(String(lack?.what), /answers first \(ens3, ens4\), and the key server is behind ens3/);
  assert.equal(lack?.steps?.[0]?.kind === "file" && lack.steps[0].text, 'DEVICE="ens3"\n');
  assert.deepEqual(lacks("initramfs-tools", host, { [TOOLS_FILE]: 'DEVICE="ens3"\n' }), []);
  assert.deepEqual(lacks("initramfs-tools", DYNAMIC, { [TOOLS_FILE]: 'DEVICE="ens3"\n' }), [], "one is gone");
  assert.deepEqual(
    lacks("initramfs-tools", host, { "conf/initramfs.conf": "DEVICE=ens3\n" }),
    [],
    "the administrator says so",
  );
  assert.equal(lacks("initramfs-tools", host, { "conf/initramfs.conf": "DEVICE=\n" }).length, 1);
  assert.deepEqual(lacks("dracut-systemd", host, {}), [], "it asks by every card");
});

test("what is not set up is said, unless the administrator has set it up", () => {
  const host: HostNetwork = { kind: "unsupported", why: "the key server is reached through up0, which is a VLAN" };
  const [lack] = lacks("initramfs-tools", host, {});
  assert.deepEqual([lack?.code, lack?.steps], ["network", null]);
  assert.match(String(lack?.what), /^the key server is reached through up0, which is a VLAN: that is not set up/);
  for (const every of [host, FIXED]) {
    for (const generator of ["initramfs-tools", "dracut-systemd"] as const) {
      assert.deepEqual(lacks(generator, every, {}, "ro ip=192.0.2.3::192.0.2.1:24::ens3.5:none"), []);
    }
    assert.deepEqual(lacks("initramfs-tools", every, { "conf/initramfs.conf": "# IP=x\nIP=192.0.2.3::::::\n" }), []);
    assert.equal(lacks("initramfs-tools", every, { "conf/initramfs.conf": "# IP=x\nIP=\n" }).length, 1);
  }
});

test("a name, where a fixed address leaves no name server to ask", () => {
  const network = { ...NETWORK, nameServers: [] };
  const host: HostNetwork = { kind: "fixed", network };
  const files = { ...PARTS, [TOOLS_FILE]: formatFixedNetwork(network) };
  const [lack, ...more] = lacks("initramfs-tools", host, files);
  assert.deepEqual([lack?.code, lack?.remedy, more], ["name", "rebind http://keys:80 to 192.0.2.7", []]);
  assert.deepEqual(lacks("initramfs-tools", host, files, "ro", "hosts"), [], "that is told already");
});

/** What ip(8) says, by its words; the rest fails, as it does where there is no way. */
function machine(said: Readonly<Record<string, object>>, files: Files = {}) {
  return fakeSystem(files, ([, , ...words]) => {
    const json = said[words.join(" ")];
    return json === undefined ? { status: 2 } : { stdout: JSON.stringify([json].flat()) };
  });
}

const ETHER = { ifname: "ens3", link_type: "ether", address: NETWORK.mac };
const way = (dst: string, dev: string, prefsrc: string, gateway?: string) => ({
  [`route get ${dst}`]: { dst, dev, prefsrc, ...(gateway === undefined ? {} : { gateway }) },
});
const link = (more: object = {}) => ({ "-details link show dev ens3": { ...ETHER, ...more } });
const has = (...addresses: readonly (readonly [local: string, prefixlen: number, more?: object])[]) => ({
  "address show dev ens3": { addr_info: addresses.map(([local, prefixlen, more]) => ({ local, prefixlen, ...more })) },
});
const FOUR = { ...way("198.51.100.7", "ens3", "192.0.2.10", "192.0.2.1"), ...link(), ...has(["192.0.2.10", 24]) };

test("what cannot be told is not judged: no way, the machine itself, a container, no iproute2", async () => {
  const read = (said: Readonly<Record<string, object>>) => readHostNetwork(machine(said), ["198.51.100.7"]);
  assert.equal(await read({}), null);
  assert.equal(await read({ "route get 198.51.100.7": { type: "local", dev: "lo", prefsrc: "198.51.100.7" } }), null);
  assert.equal(await read({ ...FOUR, ...link({ linkinfo: { info_kind: "veth" } }) }), null);
  assert.equal(await readHostNetwork(fakeSystem({}), ["198.51.100.7"]), null);
  assert.equal(await readHostNetwork(machine(FOUR), []), null);
});

test("a wireless card, a part of something, another medium and two cards are not set up", async () => {
  const why = async (said: object, files: Files = {}, servers = ["198.51.100.7"]) => {
    const host = await readHostNetwork(machine({ ...FOUR, ...said }, files), servers);
    return host?.kind === "unsupported" ? host.why : null;
  };
  assert.match(
    String(await why({}, { "/sys/class/net/ens3/uevent": "DEVTYPE=wlan\nINTERFACE=ens3\n" })),
    /a wireless card$/,
  );
  assert.match(String(await why(link({ master: "vrf0" }))), /a part of vrf0$/);
  assert.match(String(await why(link({ link_type: "infiniband" }))), /of the type infiniband$/);
  assert.match(String(await why(link({ linkinfo: { info_kind: "macvlan" } }))), /of the kind macvlan$/);
  const second = way("198.51.100.8", "ens4", "203.0.113.5");
  assert.match(
    String(await why(second, {}, ["198.51.100.7", "198.51.100.8"])),
    /several network cards \(ens3, ens4\)$/,
  );
  const further = way("198.51.100.8", "ens3", "192.0.2.10", "192.0.2.2");
  assert.match(
    String(await why(further, {}, ["198.51.100.7", "198.51.100.8"])),
    /through 192\.0\.2\.1 and 192\.0\.2\.2$/,
  );
  assert.match(String(await why(has(["192.0.2.11", 24]))), /an address that ens3 does not have$/);
  const mixed = {
    ...way("2001:db8:1::7", "ens3", "2001:db8::5"),
    ...has(["192.0.2.10", 24], ["2001:db8::5", 64, { dynamic: true }]),
  };
  assert.match(String(await why(mixed, {}, ["198.51.100.7", "2001:db8:1::7"])), /from a fixed address, and another/);
});

test("a card whose hardware address is drawn at each start is found by its name", async () => {
  const read = (kind: string) =>
    readHostNetwork(machine(FOUR, { "/sys/class/net/ens3/addr_assign_type": `${kind}\n` }), ["198.51.100.7"]);
  const macOf = (host: HostNetwork | null) => (host?.kind === "fixed" ? host.network.mac : undefined);
  assert.deepEqual([macOf(await read("0")), macOf(await read("1"))], [NETWORK.mac, null]);
});

test("an address of a router alone: initramfs-tools does not wait for DHCP", async () => {
  const dynamic = { dynamic: true };
  const six = {
    ...way("2001:db8:1::7", "ens3", "2001:db8::5", "fe80::1"),
    ...link(),
    ...has(["2001:db8::5", 64, dynamic]),
  };
  const host = await readHostNetwork(machine(six), ["2001:db8:1::7"]);
  assert.ok(host?.kind === "dynamic" && host.announced !== null);
  const text = formatFixedNetwork(host.announced);
  assert.match(text, /^nightlatch_addresses=""$/m);
  const [lack] = lacks("initramfs-tools", host, {});
  assert.equal(lack?.steps?.[0]?.kind === "file" && lack.steps[0].text, text);
  assert.deepEqual(lacks("initramfs-tools", host, { [TOOLS_FILE]: text }), []);
  assert.deepEqual(lacks("dracut-systemd", host, {}), [], "systemd-networkd listens to routers");
  const both = { ...six, ...has(["2001:db8::5", 64, dynamic], ["192.0.2.10", 24, dynamic]) };
  assert.deepEqual(await readHostNetwork(machine(both), ["2001:db8:1::7"]), DYNAMIC, "DHCP brings the card up too");
});

test("a lease without an end is no fixed address, nearby neither", async () => {
  const near = { ...way("192.0.2.7", "ens3", "192.0.2.10"), ...link(), ...has(["192.0.2.10", 24]) };
  const lease = { "-4 route show default dev ens3": { dst: "default", gateway: "192.0.2.1", protocol: "dhcp" } };
  assert.deepEqual(await readHostNetwork(machine({ ...near, ...lease }), ["192.0.2.7"]), DYNAMIC);
  assert.equal((await readHostNetwork(machine(near), ["192.0.2.7"]))?.kind, "fixed");
});

test("a router that announces itself is not written down", async () => {
  const said = {
    ...way("2001:db8:1::7", "ens3", "2001:db8::10", "fe80::1"),
    ...link(),
    ...has(["2001:db8::10", 64]),
    "-6 route show default dev ens3": { dst: "default", gateway: "fe80::1", protocol: "ra" },
  };
  const host = await readHostNetwork(machine(said), ["2001:db8:1::7"]);
  assert.ok(host?.kind === "fixed");
  assert.deepEqual([host.network.addresses, host.network.gateways], [["2001:db8::10/64"], []]);
});

test("name servers: not this machine, behind systemd-resolved those that it asks, at most three", async () => {
  const read = (files: Files) => readNameServers(fakeSystem(files));
  assert.deepEqual(await read({}), []);
  assert.deepEqual(
    await read({ "/etc/resolv.conf": "nameserver 127.0.0.1\nnameserver ::1\nnameserver fe80::1%ens3\n" }),
    [],
  );
  const many =
    "search x\nnameserver 192.0.2.1\n nameserver 2001:db8::53 \nnameserver 192.0.2.3\nnameserver 192.0.2.4\n";
  assert.deepEqual(await read({ "/etc/resolv.conf": many }), ["192.0.2.1", "2001:db8::53", "192.0.2.3"]);
  const stub = {
    "/etc/resolv.conf": "nameserver 127.0.0.53\n",
    "/run/systemd/resolve/resolv.conf": "nameserver 192.0.2.9\n",
  };
  assert.deepEqual(await read(stub), ["192.0.2.9"]);
});
