/** What the parts of bench/fleet.ts tell each other, and derive alike. */
import { createHmac, createPrivateKey, type KeyObject } from "node:crypto";

/** What lies before the 32 bytes of a private key in its PKCS #8 (RFC 8410 section 7). */
const ED25519 = Buffer.from("302e020100300506032b657004220420", "hex");
/** Part of every session's name. */
export const TAG = Buffer.from("0badcafe", "hex");

/** The key of the session that the server's machine of this number has. */
export function sessionKeyOf(number: number): Buffer {
  return createHmac("sha256", "nightlatch bench").update(`session ${number}`).digest();
}

/** The identity of the machine of this number in the fleet. */
export function identityOf(number: number): KeyObject {
  const seed = createHmac("sha256", "nightlatch bench").update(`identity ${number}`).digest();
  return createPrivateKey({ key: Buffer.concat([ED25519, seed]), format: "der", type: "pkcs8" });
}
