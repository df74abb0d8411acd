// @ts-nocheck
import assert from "node:assert/strict";
import { BlockList, isIPv4, isIPv6 } from "node:net";
import { test } from "node:test";
import fc from "fast-check";
import { networkOf, plainAddress } from "../../../src/server/network.ts";

test("an IPv4 address counts alone and by its /24, an IPv6 address by its /64 and its /48", () => {
  const cases: readonly (readonly [string, string, string])[] = [
    ["192.0.2.7", "192.0.2.7", "192.0.2.0/24"],
    ["::ffff:192.0.2.7", "192.0.2.7", "192.0.2.0/24"],
    ["::FFFF:c000:207", "192.0.2.7", "192.0.2.0/24"],
    ["0:0:0:0:0:ffff:c000:207", "192.0.2.7", "192.0.2.0/24"],
    ["::1", "0:0:0:0::/64", "0:0:0::/48"],
    ["::", "0:0:0:0::/64", "0:0:0::/48"],
    ["2001:db8::1", "2001:db8:0:0::/64", "2001:db8:0::/48"],
    ["2001:0DB8:0:00a::1:2", "2001:db8:0:a::/64", "2001:db8:0::/48"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64", "2001:db8:1::/48"],
    ["fe80::1%eth0", "fe80:0:0:0::/64", "fe80:0:0::/48"],
    ["64:ff9b::192.0.2.7", "64:ff9b:0:0::/64", "64:ff9b:0::/48"],
    ["", "", ""],
  ];
  for (const [address, line, group] of cases) assert.deepEqual(networkOf(plainAddress(address)), { line, group });
});

const ipv6 = fc.oneof(fc.ipV6(), fc.array(fc.nat(65_535), { minLength: 8, maxLength: 8 }).map(formatted));

function formatted(groups: readonly number[]): string {
  return groups.map((group) => group.toString(16)).join(":");
}

test("addresses share a line where they share their first 64 bits, however they are written", () => {
  fc.assert(
    fc.property(ipv6, ipv6, fc.boolean(), (one, other, isNear) => {
      const { line, group } = networkOf(plainAddress(one));
      if (isIPv4(line)) return; // it was mapped
      const neighbour = isNear ? line.replace("::/64", ":1:2:3:4") : other;
      assert.ok(isIPv6(neighbour));
      for (const [prefix, bits] of [
        [line, 64],
        [group, 48],
      ] as const) {
        const list = new BlockList();
        list.addSubnet(prefix.slice(0, prefix.indexOf("/")), bits, "ipv6");
        assert.ok(list.check(one, "ipv6"));
        const found = networkOf(plainAddress(neighbour));
        if (isIPv4(found.line)) return;
        assert.equal(found[bits === 64 ? "line" : "group"] === prefix, list.check(neighbour, "ipv6"));
      }
    }),
  );
});
