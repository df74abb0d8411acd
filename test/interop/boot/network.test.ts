/**
 * A card's fixed address before the root, judged by those who set it up there: our script under
 * busybox, beside the configure_networking and the ipconfig of initramfs-tools; systemd-networkd
 * and systemd-network-generator, as dracut runs them. What the running system has is read, written
 * down, and has to be there again.
 */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { test } from "node:test";
import { type HostNetwork, readHostNetwork } from "../../../src/boot/initramfs/host-network.ts";
import { parseAddresses } from "../../../src/formats/network/ip-json.ts";
import { formatFixedNetwork } from "../../../src/formats/own/initramfs-network.ts";
import { CARD, MAC, NetworkRoom, noNetworkRoom, SERVERS } from "../../support/network-room.ts";

const PACKAGED = resolve(import.meta.dirname, "../../../packaging/initramfs");
const FUNCTIONS = "/usr/share/initramfs-tools/scripts/functions";
const KLIBC = "/usr/lib/klibc/bin";
const NETWORKD = "/usr/lib/systemd/systemd-networkd";
const GENERATOR = "/usr/lib/systemd/systemd-network-generator";
const lacking = [FUNCTIONS, `${KLIBC}/ipconfig`, NETWORKD, GENERATOR].find((path) => !existsSync(path));
const skip = lacking === undefined ? noNetworkRoom : `${lacking} is not here`;

interface Given {
  readonly router: string;
  readonly machine: string;
  readonly servers: readonly string[];
  readonly expected: Partial<Extract<HostNetwork, { kind: "fixed" }>["network"]>;
}

const FOUR: Given = {
  router: "ip addr add 192.0.2.1/24 dev port",
  machine: `ip addr add 192.0.2.10/24 dev ${CARD}; ip route add default via 192.0.2.1`,
  servers: [SERVERS.four],
  expected: { addresses: ["192.0.2.10/24"], gateways: ["192.0.2.1"], nameServers: ["192.0.2.53", "192.0.2.54"] },
};
const SIX: Given = {
  router: "ip addr add fe80::1/64 dev port; ip route add 2001:db8::/64 dev port",
  machine: `ip addr add 2001:db8::10/64 dev ${CARD} nodad; ip route add default via fe80::1 dev ${CARD}`,
  servers: [SERVERS.six],
  expected: { addresses: ["2001:db8::10/64"], gateways: ["fe80::1"], nameServers: [] },
};
const OUTSIDE: Given = {
  router: "ip addr add 192.0.2.1/24 dev port; ip route add 203.0.113.9 dev port",
  machine: `ip addr add 203.0.113.9/32 dev ${CARD}; ip route add default via 192.0.2.1 dev ${CARD} onlink`,
  servers: [SERVERS.four],
  expected: { addresses: ["203.0.113.9/32"], gateways: ["192.0.2.1"] },
};
const BOTH: Given = {
  router: `${FOUR.router}; ${SIX.router}`,
  machine: `${FOUR.machine}; ${SIX.machine}`,
  servers: [SERVERS.four, SERVERS.six],
  expected: { addresses: ["192.0.2.10/24", "2001:db8::10/64"], gateways: ["192.0.2.1", "fe80::1"] },
};
const GIVEN = { IPv6: SIX, "a gateway outside of the card's network": OUTSIDE };
const MORE = { IPv4: FOUR, both: BOTH };

/** The text that is written down for a room's network, which is gone afterwards. */
async function writtenDown(room: NetworkRoom, { machine, servers, expected }: Given): Promise<string> {
  room.sh(`ip link set ${CARD} up; ${machine}; printf 'nameserver 192.0.2.5%s\\n' 3 4 > /run/resolv.conf`);
  const host = await readHostNetwork(room.system, servers);
  assert.ok(host?.kind === "fixed", JSON.stringify(host));
  assert.deepEqual({ ...host.network, ...expected }, host.network);
  assert.deepEqual([host.network.card, host.network.mac], [CARD, MAC]);
  room.sh(`ip addr flush dev ${CARD}; ip link set ${CARD} down; : > /run/resolv.conf`);
  assert.equal(await readHostNetwork(room.system, servers), null, "there is no way any more");
  return formatFixedNetwork(host.network);
}

/** Waits for the ways to the servers, and asks over them. */
function reaches(room: NetworkRoom, servers: readonly string[]): void {
  for (const server of servers) room.sh(`until busybox ping -c 1 -W 1 ${server} >/dev/null 2>&1; do sleep 0.1; done`);
}

function addressesOf(room: NetworkRoom): string[] {
  const listed = parseAddresses(Buffer.from(room.sh(`ip -json addr show dev ${CARD} scope global`)));
  return listed.map(({ address, prefix }) => `${address}/${prefix}`).sort();
}

for (const [name, given] of Object.entries(
  process.env["NIGHTLATCH_TEST_FULL"] === "1" ? { ...GIVEN, ...MORE } : GIVEN,
)) {
  test(`initramfs-tools, ${name}: the card has it, and nobody asks DHCP`, { skip, timeout: 600_000 }, async () => {
    await using room = await NetworkRoom.open(given.router);
    const text = await writtenDown(room, given);
    room.sh(`mkdir -p /conf/conf.d; printf %s '${text}' > /conf/conf.d/nightlatch-network`);
    room.sh(`busybox sh ${PACKAGED}/network begin`);
    // The real function, as clevis calls it, with something that tells if it asks.
    const asks =
      "mkdir /run/bin; printf '#!/bin/sh\\n: > /run/asked\\n' > /run/bin/ipconfig; chmod 755 /run/bin/ipconfig";
    room.sh(
      `${asks}; export quiet=y IP= DEVICE= PATH=/run/bin:$PATH; . ${FUNCTIONS}; configure_networking; [ ! -e /run/asked ]`,
    );
    reaches(room, given.servers);
    assert.deepEqual(addressesOf(room), [...(given.expected.addresses ?? [])].sort());
    assert.equal(
      room.sh("cat /etc/resolv.conf"),
      text.includes("192.0.2.53") ? "nameserver 192.0.2.53\nnameserver 192.0.2.54\n" : "",
    );
    room.sh(`busybox sh ${PACKAGED}/network end; [ ! -e /run/net-${CARD}.conf ]`);
    assert.deepEqual(addressesOf(room), []);
  });

  test(`dracut, ${name}: systemd-networkd takes what our module writes`, { skip, timeout: 600_000 }, async () => {
    await using room = await NetworkRoom.open(given.router);
    const text = await writtenDown(room, given);
    networkd(room, `${text}\n. ${PACKAGED}/dracut/module-setup.sh\nnetworkUnit`);
    reaches(room, given.servers);
    assert.deepEqual(addressesOf(room), [...(given.expected.addresses ?? [])].sort());
    room.sh(`mount -t tmpfs own /etc; mkdir /etc/nightlatch; printf %s '${text}' > /etc/nightlatch/network`);
    // networkd tells nobody of its name servers, and curl looks in resolv.conf.
    if (text.includes("192.0.2.53")) assert.equal(resolvConf(room), "nameserver 192.0.2.53\nnameserver 192.0.2.54\n");
    // It runs on at the end, and does not give the address back.
    room.sh(`sh ${PACKAGED}/network end`);
    assert.deepEqual(addressesOf(room), []);
  });
}

test("dracut without systemd-networkd: the words mean the same to what parses them", { skip }, async () => {
  await using room = await NetworkRoom.open(BOTH.router);
  const text = await writtenDown(room, BOTH);
  const words = `${text}\n. ${PACKAGED}/dracut/module-setup.sh\nnetworkWords`;
  assert.deepEqual(room.sh(words).trim().split("\n"), [
    `ip=192.0.2.10::192.0.2.1:24::${CARD}:none`,
    `ip=[2001:db8::10]::[fe80::1]:64::${CARD}:none`,
    "nameserver=192.0.2.53",
    "nameserver=192.0.2.54",
  ]);
  const units = room.sh(`${GENERATOR} -- $(${words}); cat /run/systemd/network/*.network`);
  const values = (key: string) =>
    [...units.matchAll(new RegExp(`^${key}=(.*)$`, "gm"))].map(([, value]) => value).sort();
  assert.deepEqual(values("Address"), ["192.0.2.10/24", "2001:db8::10/64"]);
  assert.deepEqual(values("Gateway"), ["192.0.2.1", "fe80::1"]);
  assert.deepEqual(values("DNS"), ["192.0.2.53", "192.0.2.54"]);
  assert.deepEqual(values("Name"), [CARD]);
});

/** What a DHCP server of the router's says. */
const LEASES = [
  "interface port",
  "start 192.0.2.77",
  "end 192.0.2.77",
  "option subnet 255.255.255.0",
  "opt router 192.0.2.1",
  "opt dns 192.0.2.53",
  "lease_file /run/leases",
  "pidfile /run/udhcpd.pid",
];

async function roomWithDhcp(): Promise<NetworkRoom> {
  const room = await NetworkRoom.open(
    `${FOUR.router}; mount -t tmpfs own /run; : > /run/leases; printf '%s\\n' '${LEASES.join("' '")}' > /run/udhcpd.conf`,
  );
  room.start("router", "busybox", "udhcpd", "-f", "/run/udhcpd.conf");
  return room;
}

test("DHCP: what the running system has by it is not written down", { skip, timeout: 600_000 }, async () => {
  await using room = await roomWithDhcp();
  networkd(room, "printf '[Match]\\nName=*\\n[Network]\\nDHCP=ipv4\\n'");
  reaches(room, [SERVERS.four]);
  assert.deepEqual(await readHostNetwork(room.system, [SERVERS.four]), {
    kind: "dynamic",
    card: CARD,
    others: [],
    announced: null,
  });
  // A lease without an end.
  room.sh(`ip addr change 192.0.2.77/24 dev ${CARD} valid_lft forever preferred_lft forever`);
  assert.deepEqual(await readHostNetwork(room.system, [SERVERS.four]), {
    kind: "dynamic",
    card: CARD,
    others: [],
    announced: null,
  });
});

test("DHCP by initramfs-tools: the card that is named is asked by, among several", {
  skip,
  timeout: 600_000,
}, async () => {
  await using room = await roomWithDhcp();
  room.sh("ip link add aaa0 type veth peer name aaa1; ip link set aaa0 up; ip link set aaa1 up");
  const said = `DEVICE="${CARD}"`;
  room.sh(`export quiet=y IP= DEVICE= PATH=${KLIBC}:$PATH; ${said}; . ${FUNCTIONS}; configure_networking`);
  reaches(room, [SERVERS.four]);
  assert.deepEqual(addressesOf(room), ["192.0.2.77/24"]);
  assert.match(room.sh(`cat /run/net-${CARD}.conf`), /^IPV4DNS0='192\.0\.2\.53'$/m);
});

test("without a fixed address the links come up before anybody asks, and go down where nobody has", {
  skip,
  timeout: 600_000,
}, async () => {
  await using room = await roomWithDhcp();
  // One more card, which nobody asks by, and one that is another's.
  room.sh("ip link add bbb0 type veth peer name bbb1; ip link set bbb1 up; ip link add ccc0 type veth peer name ccc1");
  const isUp = (card: string) => (Number(room.sh(`cat /sys/class/net/${card}/flags`)) & 1) === 1;
  const begin = (text: string) => {
    room.sh(`mkdir -p /conf/conf.d; printf %s '${text}' > /conf/conf.d/nightlatch-network`);
    room.sh(`busybox sh ${PACKAGED}/network begin`);
  };
  const end = () => room.sh(`busybox sh ${PACKAGED}/network end`);
  room.sh(`ip link set ${CARD} down`);

  begin(`DEVICE="${CARD}"\n`);
  room.sh(`until ip link show ${CARD} | grep -q '[<,]UP'; do sleep 0.1; done`);
  assert.ok(!isUp("bbb0"), "the card that is named is the one");
  end();
  assert.ok(!isUp(CARD), "nobody has asked by it");

  begin('nightlatch_card=""\n');
  room.sh(`until ip link show bbb0 | grep -q '[<,]UP'; do sleep 0.1; done`);
  room.sh(`export quiet=y IP= DEVICE=${CARD} PATH=${KLIBC}:$PATH; . ${FUNCTIONS}; configure_networking`);
  assert.deepEqual(addressesOf(room), ["192.0.2.77/24"]);
  end();
  assert.deepEqual([isUp(CARD), isUp("bbb0")], [true, false]);
  assert.deepEqual(addressesOf(room), ["192.0.2.77/24"], "the one who asked takes it away");
  // A card that comes later, and one that udev has not named yet.
  begin('nightlatch_card=""\n');
  room.sh("mkdir -p /run/udev/data; sleep 1.5; ip link add ddd0 type veth peer name ddd1; sleep 2.5");
  assert.ok(!isUp("ddd0"));
  room.sh(": > /run/udev/data/n$(cat /sys/class/net/ddd0/ifindex)");
  room.sh(`until ip link show ddd0 | grep -q '[<,]UP'; do sleep 0.1; done`);
  end();
  assert.ok(!isUp("ddd0"));
});

test("a VLAN, a bond and a bridge are told by their names", { skip }, async () => {
  await using room = await NetworkRoom.open(FOUR.router);
  const ways = {
    "a VLAN": `ip link add link ${CARD} name up0 type vlan id 5`,
    "a bridge": `ip link add up0 type bridge; ip link set ${CARD} master up0`,
    "a bond of cards": "ip link add up0 type bond",
    "a WireGuard tunnel": "ip link add up0 type wireguard",
  };
  let made = 0;
  for (const [name, way] of Object.entries(ways)) {
    if (room.sh(`(${way}) >&2 2>/dev/null && echo made || true`) === "") continue; // not in this kernel
    made++;
    room.sh("ip link set up0 up; ip addr add 198.51.100.1/24 dev up0");
    const host = await readHostNetwork(room.system, [SERVERS.four]);
    assert.deepEqual(host, { kind: "unsupported", why: `the key server is reached through up0, which is ${name}` });
    room.sh("ip link del up0");
  }
  assert.ok(made > 0);
});

/** systemd-networkd, as in an initramfs, with one unit; udev has nothing to say in a room. */
function networkd(room: NetworkRoom, unit: string): void {
  room.sh("mount -o remount,bind,ro /sys; mkdir -p /run/systemd/network /run/systemd/netif/{links,leases}");
  room.sh(`chown -R systemd-network: /run/systemd/netif\n${unit} > /run/systemd/network/zzzz-dracut-default.network`);
  room.start("machine", NETWORKD);
}

/** What nightlatch-wait writes where nobody else does. */
function resolvConf(room: NetworkRoom): string {
  const wait = `sh ${PACKAGED}/wait > /dev/null 2>&1 &`;
  return room.sh(`${wait}\nuntil [ -s /etc/resolv.conf ]; do sleep 0.1; done; kill %1; cat /etc/resolv.conf`);
}
