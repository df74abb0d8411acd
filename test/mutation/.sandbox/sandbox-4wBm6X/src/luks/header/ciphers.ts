// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";
import { printable } from "../../core/text.ts";
import type { Luks1Header } from "../../formats/luks/luks1.ts";
import type { Luks2Header } from "../../formats/luks/luks2.ts";

/**
 * Refuses a volume that does not encrypt. Whoever can write to the disk can rewrite its header to a
 * null cipher (CVE-2025-59054): the key would be handed to a volume that the thief can read and
 * prepare.
 * @throws NightlatchError luks/null-cipher
 */
export function refuseNullCiphers(header: Luks1Header | Luks2Header): void {
  const nulls =
    header.version === 1 ? nullCiphersOfLuks1(`${header.cipherName}-${header.cipherMode}`) : nullCiphersOfLuks2(header);
  if (nulls.length === 0) return;
  throw new NightlatchError("luks/null-cipher", `the volume is not encrypted: ${nulls.join(", ")}`, {
    meaning: "Somebody may have rewritten its header to make this machine trust what is not secret.",
    remedy: "Compare the header with a backup of it; do not use the volume until you know how this came about.",
  });
}

function nullCiphersOfLuks1(encryption: string): string[] {
  return isNullCipher(encryption) ? [`its cipher is ${JSON.stringify(printable(encryption, 40))}`] : [];
}

function nullCiphersOfLuks2(header: Luks2Header): string[] {
  const found: string[] = [];
  const reencrypts = header.requirements.some((name) => name.startsWith("online-reencrypt"));
  let encrypted = 0;
  for (const [number, segment] of header.segments) {
    // Only an encryption or decryption under way has plain stretches beside encrypted ones.
    if (segment.type === "linear" && !reencrypts) found.push(`segment ${number} is plain`);
    if (segment.encryption !== null && isNullCipher(segment.encryption)) {
      found.push(`segment ${number} has the cipher ${JSON.stringify(printable(segment.encryption, 40))}`);
    }
    if (segment.type !== "linear" && segment.encryption !== null) encrypted++;
  }
  if (encrypted === 0) found.push("it has no encrypted segment");
  for (const [number, slot] of header.keyslots) {
    if (slot.area.encryption !== null && isNullCipher(slot.area.encryption)) {
      found.push(`keyslot ${number} has the cipher ${JSON.stringify(printable(slot.area.encryption, 40))}`);
    }
  }
  return found;
}

/**
 * Tells whether this is a spelling of the null cipher that dm-crypt takes: `null`,
 * `cipher_null-ecb`, `capi:ecb(cipher_null)-plain`; not the IV of `aes-cbc-null`.
 */
export function isNullCipher(encryption: string): boolean {
  return encryption.includes("cipher_null") || /^null(?:-|$)/.test(encryption);
}
