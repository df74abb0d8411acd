import assert from "node:assert/strict";
import { BlockList, isIPv4 } from "node:net";
import { test } from "node:test";
import fc from "fast-check";
import { addressBytes, isInNetwork, parseIpNetwork } from "../../../../src/formats/network/ip-network.ts";

test("networks are read in one form", () => {
  const told: Readonly<Record<string, string>> = {
    "192.0.2.0/24": "192.0.2.0/24",
    "192.0.2.7": "192.0.2.7",
    "192.0.2.7/32": "192.0.2.7",
    "0.0.0.0/0": "0.0.0.0/0",
    "2001:DB8:0:0::/48": "2001:db8::/48",
    "::1": "::1",
    "::/0": "::/0",
  };
  for (const [text, expected] of Object.entries(told)) assert.equal(parseIpNetwork(text)?.text, expected);
});

test("what is no network is none, nor one with bits beyond its length", () => {
  for (const text of [
    "",
    "any",
    "192.0.2.7/24",
    "192.0.2.0/33",
    "192.0.2.0/",
    "192.0.2",
    "192.0.02.0/24",
    "256.0.0.0/8",
    "2001:db8::1/48",
    "2001:db8::/129",
    "::1%eth0",
    ":::",
    "[::1]",
    "192.0.2.0/24 ",
  ]) {
    assert.equal(parseIpNetwork(text), null, text);
  }
});

test("an address is in a network exactly where node:net's list has it", () => {
  const ipv4 = fc.ipV4();
  const ipv6 = fc.ipV6().filter((text) => !text.includes("."));
  const pair = fc.oneof(
    fc.record({
      family: fc.constant("ipv4" as const),
      network: ipv4,
      address: fc.oneof(ipv4, ipv6),
      length: fc.nat(32),
    }),
    fc.record({
      family: fc.constant("ipv6" as const),
      network: ipv6,
      address: fc.oneof(ipv4, ipv6),
      length: fc.nat(128),
    }),
  );
  fc.assert(
    fc.property(pair, fc.nat(128), ({ family, network, address, length }, shared) => {
      const whole = parseIpNetwork(network);
      assert.ok(whole !== null);
      const keep = (bits: number) => (byte: number, index: number) =>
        byte & (0xff << (8 - Math.min(8, Math.max(0, bits - index * 8))));
      const masked = { ...whole, bytes: whole.bytes.map(keep(length)), prefix: length };
      const list = new BlockList();
      list.addSubnet(network, length, family);
      const near = family === "ipv4" ? flip(whole.bytes, shared % 32) : address;
      for (const asked of [address, network, near]) {
        const own = asked.includes(":") ? "ipv6" : "ipv4";
        // To the list ::/0 holds every address of IPv4 too; here each family is for itself.
        const expected = own === family && list.check(asked, own);
        assert.equal(isInNetwork(masked, asked), expected, `${asked} in ${network}/${length}`);
      }
    }),
  );
});

/** The address with one bit turned over. */
function flip(bytes: readonly number[], bit: number): string {
  return bytes.map((byte, index) => (index === bit >> 3 ? byte ^ (0x80 >> (bit & 7)) : byte)).join(".");
}

test("an IPv4 address is exactly what node:net takes for one", () => {
  const part = fc.oneof(
    fc.nat(300).map(String),
    fc.constantFrom("", "0", "00", "01", "255", "256", "1000", "-1", "1 "),
  );
  fc.assert(
    fc.property(fc.array(part, { minLength: 3, maxLength: 5 }), (parts) => {
      const text = parts.join(".");
      assert.deepEqual(addressBytes(text), isIPv4(text) ? parts.map(Number) : null, text);
    }),
  );
});
