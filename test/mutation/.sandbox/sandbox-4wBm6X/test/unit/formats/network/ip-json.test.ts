// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  parseAddresses,
  parseCardsWithSignal,
  parseDefaultRoutes,
  parseLink,
  parseRoute,
} from "../../../../src/formats/network/ip-json.ts";

const bytes = (text: string) => Buffer.from(text);

/* What iproute2 6.1 prints, in the order in which it prints it. */
const GATEWAY =
  '[{"dst":"198.51.100.7","gateway":"192.0.2.1","dev":"ens3","prefsrc":"192.0.2.10","flags":[],"uid":0,"cache":[]}]';
const SIX =
  '[{"dst":"2001:db8:1::1","from":"::","gateway":"fe80::1","dev":"ens3","prefsrc":"2001:db8::10","metric":1024,"flags":[],"pref":"medium"}]';
const DIRECT = '[{"dst":"192.0.2.53","dev":"ens3","prefsrc":"192.0.2.10","flags":[],"uid":0,"cache":[]}]';
const ITSELF =
  '[{"type":"local","dst":"192.0.2.10","dev":"lo","prefsrc":"192.0.2.10","flags":[],"uid":0,"cache":["local"]}]';
const LINK =
  '[{"ifindex":4,"ifname":"eth0","flags":["BROADCAST","MULTICAST","UP","LOWER_UP"],"mtu":1400,"qdisc":"pfifo_fast","operstate":"UP","linkmode":"DEFAULT","group":"default","txqlen":1000,"link_type":"ether","address":"02:fc:00:00:00:01","broadcast":"ff:ff:ff:ff:ff:ff","promiscuity":0,"allmulti":0,"min_mtu":68,"max_mtu":65535,"inet6_addr_gen_mode":"eui64","num_tx_queues":1,"num_rx_queues":1,"parentbus":"virtio","parentdev":"virtio2"}]';
const VLAN =
  '[{"ifindex":4,"link":"ens3","ifname":"ens3.5","flags":["BROADCAST","MULTICAST","UP","LOWER_UP"],"link_type":"ether","address":"82:e8:ab:cc:96:ff","linkinfo":{"info_kind":"vlan","info_data":{"protocol":"802.1Q","id":5,"flags":["REORDER_HDR"]}}}]';
const SLAVE =
  '[{"ifname":"ens3","flags":["UP","LOWER_UP"],"master":"bond0","link_type":"ether","address":"52:54:00:00:00:01","permaddr":"52:54:00:00:00:02","linkinfo":{"info_slave_kind":"bond"}}]';
const ADDRESSES =
  '[{"ifindex":3,"ifname":"ens3","addr_info":[{"family":"inet","local":"192.0.2.10","prefixlen":24,"scope":"global","dynamic":true,"label":"ens3","valid_life_time":3598,"preferred_life_time":3598},{"family":"inet6","local":"2001:db8::10","prefixlen":64,"scope":"global","nodad":true,"valid_life_time":4294967295,"preferred_life_time":4294967295},{"family":"inet","local":"203.0.113.9","address":"192.0.2.1","prefixlen":32,"scope":"global"}]}]';
const DEFAULTS =
  '[{"dst":"default","gateway":"192.0.2.1","protocol":"dhcp","prefsrc":"192.0.2.10","metric":100,"flags":[]},{"dst":"default","gateway":"192.0.2.2","flags":[]}]';

test("the way to a server: through a gateway or not, and none to the machine itself", () => {
  assert.deepEqual(parseRoute(bytes(GATEWAY)), { card: "ens3", gateway: "192.0.2.1", source: "192.0.2.10" });
  assert.deepEqual(parseRoute(bytes(SIX)), { card: "ens3", gateway: "fe80::1", source: "2001:db8::10" });
  assert.deepEqual(parseRoute(bytes(DIRECT)), { card: "ens3", gateway: null, source: "192.0.2.10" });
  for (const none of [ITSELF, "", "[]", "[{}]", '[{"type":"unreachable","dst":"192.0.2.1","dev":"lo"}]']) {
    assert.equal(parseRoute(bytes(none)), null, none);
  }
});

test("what would not be one word of a file of ours is no card and no address", () => {
  for (const [from, to] of [
    ['"dev":"ens3"', '"dev":"en$(id)"'],
    ['"dev":"ens3"', '"dev":"a b"'],
    ['"gateway":"192.0.2.1"', '"gateway":"192.0.2.1\\";reboot"'],
    ['"prefsrc":"192.0.2.10"', '"prefsrc":"fe80::1%ens3"'],
  ] as const) {
    assert.equal(parseRoute(bytes(GATEWAY.replace(from, to))), null, to);
  }
  assert.equal(parseLink(bytes(LINK.replace("02:fc:00:00:00:01", "02:fc$(id)")))?.mac, null);
});

test("a card, what is made of cards, and what is a part of it", () => {
  assert.deepEqual(parseLink(bytes(LINK)), { kind: null, type: "ether", mac: "02:fc:00:00:00:01", master: null });
  assert.equal(parseLink(bytes(VLAN))?.kind, "vlan");
  const slave = { kind: null, type: "ether", mac: "52:54:00:00:00:02", master: "bond0" };
  assert.deepEqual(parseLink(bytes(SLAVE)), slave, "the address that it has by itself");
  assert.equal(parseLink(bytes("")), null);
  const all = `[${[LINK, VLAN, SLAVE].map((list) => list.slice(1, -1)).join(",")},{"ifname":"lo","flags":["UP","LOWER_UP"],"link_type":"loopback"},{"ifname":"eth1","flags":["UP","NO-CARRIER"],"link_type":"ether"}]`;
  assert.deepEqual(parseCardsWithSignal(bytes(all)), ["eth0"]);
});

test("addresses with and without an end, and who has set a default route", () => {
  assert.deepEqual(parseAddresses(bytes(ADDRESSES)), [
    { address: "192.0.2.10", prefix: 24, isDynamic: true },
    { address: "2001:db8::10", prefix: 64, isDynamic: false },
    { address: "203.0.113.9", prefix: 32, isDynamic: false },
  ]);
  assert.deepEqual(parseAddresses(bytes("[{}]")), []);
  assert.deepEqual(
    [...parseDefaultRoutes(bytes(DEFAULTS))],
    [
      ["192.0.2.1", "dhcp"],
      ["192.0.2.2", "boot"],
    ],
  );
  assert.deepEqual([...parseDefaultRoutes(bytes("[ ]"))], []);
});
