/** Networks of IP addresses as people write them: `192.0.2.0/24`, `2001:db8::/48`, `192.0.2.7`. */
export interface IpNetwork {
  /** As it is written down: without a length where it is one address. */
  readonly text: string;
  /** The address in bytes: 4 or 16. */
  readonly bytes: readonly number[];
  /** How many bits of it count. */
  readonly prefix: number;
}

/**
 * Reads a network. Null where it is none, and where bits beyond its length are set: whoever writes
 * `192.0.2.7/24` has not said which of the two is meant.
 */
export function parseIpNetwork(text: string): IpNetwork | null {
  const [, address = "", length] = /^([0-9A-Fa-f.:]{2,45})(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  const bytes = addressBytes(address);
  if (bytes === null) return null;
  const most = bytes.length * 8;
  const prefix = length === undefined ? most : Number(length);
  if (prefix > most || bytes.some((byte, index) => (byte & ~maskAt(index, prefix)) !== 0)) return null;
  const plain = bytes.length === 4 ? bytes.join(".") : canonical(address);
  return { text: prefix === most ? plain : `${plain}/${prefix}`, bytes, prefix };
}

/** Whether an address lies in a network. What is no address lies in none. */
export function isInNetwork({ bytes, prefix }: IpNetwork, address: string): boolean {
  const own = addressBytes(address);
  if (own?.length !== bytes.length) return false;
  return bytes.every((byte, index) => byte === ((own[index] ?? 0) & maskAt(index, prefix)));
}

/** The bits that count of the byte at this place. */
function maskAt(index: number, prefix: number): number {
  const bits = Math.min(8, Math.max(0, prefix - index * 8));
  return (0xff << (8 - bits)) & 0xff;
}

/** The bytes of an IP address, 4 or 16; null where it is none. */
export function addressBytes(address: string): number[] | null {
  if (!address.includes(":")) {
    const bytes = [0, 0, 0, 0];
    return readIpv4(address, bytes, 0) ? bytes : null;
  }
  const plain = canonical(address);
  if (plain === "") return null;
  const [head = "", tail] = plain.split("::");
  const before = groupsOf(head);
  const after = groupsOf(tail ?? "");
  const zeros = Array.from({ length: 8 - before.length - after.length }, () => 0);
  return [...before, ...zeros, ...after].flatMap((group) => [group >> 8, group & 0xff]);
}

const DOT = 0x2e;
const ZERO = 0x30;
const IPV4_BYTES = 4;

/**
 * Writes an IPv4 address, in decimal without leading zeros, into `into` from `at` on. Digit by
 * digit: every heartbeat has one.
 * @returns false where it is none; what was written then is of no use
 */
export function readIpv4(address: string, into: Uint8Array | number[], at: number): boolean {
  let [part, digits, value] = [0, 0, 0];
  for (let index = 0; index <= address.length; index++) {
    const code = index === address.length ? DOT : address.charCodeAt(index);
    if (code === DOT) {
      if (digits === 0 || value > 255 || part === IPV4_BYTES) return false;
      into[at + part++] = value;
      digits = 0;
      value = 0;
    } else {
      if (code < ZERO || code > ZERO + 9 || digits++ === 3 || (digits === 2 && value === 0)) return false;
      value = value * 10 + code - ZERO;
    }
  }
  return part === IPV4_BYTES;
}

/** RFC 5952's form, as WHATWG URLs have it; empty where it is no address of IPv6. */
function canonical(address: string): string {
  const url = `http://[${address}]/`;
  return URL.canParse(url) ? new URL(url).hostname.slice(1, -1) : "";
}

function groupsOf(text: string): number[] {
  return text === "" ? [] : text.split(":").map((group) => Number.parseInt(group, 16));
}
