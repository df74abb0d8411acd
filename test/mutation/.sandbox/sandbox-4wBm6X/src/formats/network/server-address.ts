// @ts-nocheck
import { trimEndOf } from "../../core/text.ts";

/**
 * One server has many spellings of its address. These tell whether two of them are of one server:
 * docs/decisions/079-one-server-one-address.md.
 */

/** RFC 3986 section 2.3: their percent-encoding means the same as they do. */
const UNRESERVED = /^[A-Za-z0-9._~-]$/;

/**
 * Writes an address in its one spelling: scheme and host in lower case, an IP address as the URL
 * standard writes it, no default port, no dot segments, no percent-encoding that is not needed, no
 * fragment, no slash at the end. An address without a scheme is http's, as curl takes it. User and
 * password, if there are any, stay out: they say who asks, not who is asked. Null where the text is
 * no http or https address.
 */
export function canonicalAddress(text: string): string | null {
  const whole = text.includes("://") ? text : `http://${text}`;
  if (!/^https?:\/\/[^/]/i.test(whole) || !URL.canParse(whole)) return null;
  const { protocol, host, pathname, search } = new URL(whole);
  return `${protocol}//${host}${trimEndOf(plainPath(pathname), "/")}${search}`;
}

/**
 * Whether two addresses name one server. A name with a dot at its end is the same name; only the
 * look-up skips the search domains.
 */
export function isSameAddress(one: string, other: string): boolean {
  const [a, b] = [comparable(one), comparable(other)];
  return a !== null && a === b;
}

const comparable = (text: string): string | null =>
  canonicalAddress(text)?.replace(/^(https?:\/\/[^/:?[]*?)\.+(?=[:/?]|$)/, "$1") ?? null;

function plainPath(path: string): string {
  return path.replace(/%([0-9A-Fa-f]{2})/g, (whole, digits: string) => {
    const character = String.fromCharCode(Number.parseInt(digits, 16));
    return UNRESERVED.test(character) ? character : whole.toUpperCase();
  });
}

/** docs/format/latch.md: a latch is a tang at an address of this form. */
const LATCH = /\/latch\/[\w-]{22}$/;

/** Whether an address is that of a latch. */
export function isLatch(address: string): boolean {
  return LATCH.test(canonicalAddress(address) ?? "");
}

/**
 * Writes the server's own address in its one spelling: for a latch, without its path. Null where
 * the text is no address.
 */
export function serverOf(address: string): string | null {
  return canonicalAddress(address)?.replace(LATCH, "") ?? null;
}
