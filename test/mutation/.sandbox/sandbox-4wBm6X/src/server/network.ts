/**
 * Where a stranger comes from, as far as it costs something to be there. A host with IPv6 has a
 * whole /64 to itself, so no address of it counts alone. Around it lies what one customer of a
 * provider may have in one piece: a /48, or a /24 of IPv4.
 */
// @ts-nocheck

export interface Network {
  /** An IPv4 address, or an IPv6 /64. */
  readonly line: string;
  /** An IPv4 /24, or an IPv6 /48. */
  readonly group: string;
}

const MAPPED = /^(?:::|0:0:0:0:0:)ffff:/i;
const IPV4 = /^(\d{1,3}\.\d{1,3}\.\d{1,3})\.\d{1,3}$/;

/**
 * An address as it is written and counted: a peer of IPv4 as IPv4, also on a socket that serves
 * both, and without a zone.
 */
export function plainAddress(address: string): string {
  const [unzoned = ""] = address.split("%");
  if (!MAPPED.test(unzoned)) return unzoned;
  const rest = unzoned.replace(MAPPED, "");
  if (IPV4.test(rest)) return rest;
  const [high, low, ...others] = rest.split(":").map((group) => Number.parseInt(group, 16));
  if (high === undefined || low === undefined || others.length > 0) return unzoned;
  return [high >> 8, high & 255, low >> 8, low & 255].join(".");
}

/** An address as a person types it, in the form of `plainAddress`; null where it is none. */
export function parseAddress(text: string): string | null {
  const isIpv6 = text.includes(":");
  const url = `http://${isIpv6 ? `[${text}]` : text}/`;
  if (!URL.canParse(url)) return null;
  const { hostname } = new URL(url);
  if (isIpv6) return plainAddress(hostname.slice(1, -1));
  return IPV4.test(text) && hostname === text ? text : null;
}

/**
 * The network of an address. Whatever is no IP address is a network of its own.
 * @param address as `plainAddress` gives it
 */
export function networkOf(address: string): Network {
  const prefix = IPV4.exec(address)?.[1];
  if (prefix !== undefined) return { line: address, group: `${prefix}.0/24` };
  if (!address.includes(":")) return { line: address, group: address };
  const groups = firstGroups(address);
  return { line: `${groups.join(":")}::/64`, group: `${groups.slice(0, 3).join(":")}::/48` };
}

/** The first four of an IPv6 address's eight groups, without leading zeros. */
function firstGroups(address: string): string[] {
  const [before = "", after] = address.split("::");
  const head = before === "" ? [] : before.split(":");
  const tail = after === undefined || after === "" ? [] : after.split(":");
  // A dotted quad at the end stands for two groups.
  const given = head.length + tail.length + (address.includes(".") ? 1 : 0);
  const zeros = Array.from({ length: after === undefined ? 0 : Math.max(0, 8 - given) }, () => "0");
  return [...head, ...zeros, ...tail].slice(0, 4).map((group) => Number.parseInt(group, 16).toString(16));
}
