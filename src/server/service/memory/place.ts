import { createHash } from "node:crypto";
import { addressBytes, readIpv4 } from "../../../formats/network/ip-network.ts";

/** How many bytes stand for an address. */
export const ADDRESS_BYTES = 16;

/** Of an IPv4 address the first bytes are zero. */
const IPV4_BYTES = 4;
/** A host with IPv6 has a /64 to itself (network.ts). */
const LINE_BYTES = 8;

/** An address in 16 bytes: an IPv4 one at their end; what is none by its hash. */
export function packAddress(address: string): Uint8Array {
  const packed = new Uint8Array(ADDRESS_BYTES);
  packInto(packed, address);
  return packed;
}

/** Writes them into `packed`, which every heartbeat does. */
export function packInto(packed: Uint8Array, address: string): void {
  packed.fill(0);
  if (readIpv4(address, packed, ADDRESS_BYTES - IPV4_BYTES)) return;
  packed.fill(0);
  const bytes = addressBytes(address);
  const isIpv6 = bytes?.length === ADDRESS_BYTES;
  packed.set(isIpv6 ? bytes : createHash("sha256").update(address).digest().subarray(0, ADDRESS_BYTES));
}

/** Whether two addresses are one place: the same IPv4 address, or the same IPv6 /64. */
export function isSamePlace(one: Uint8Array, other: Uint8Array): boolean {
  const bytes = isIpv4(one) || isIpv4(other) ? ADDRESS_BYTES : LINE_BYTES;
  for (let index = 0; index < bytes; index++) if (one[index] !== other[index]) return false;
  return true;
}

function isIpv4(packed: Uint8Array): boolean {
  for (let index = 0; index < ADDRESS_BYTES - IPV4_BYTES; index++) if (packed[index] !== 0) return false;
  return true;
}
