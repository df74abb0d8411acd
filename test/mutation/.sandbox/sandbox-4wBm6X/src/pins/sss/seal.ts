// @ts-nocheck
import { generatePrime } from "node:crypto";
import { promisify } from "node:util";
import type { Secret } from "../../core/secret.ts";
import { dealShares, sssHeader } from "../../formats/clevis/sss.ts";
import { encryptJwe, type FlattenedJwe } from "../../formats/jose/jwe.ts";
import type { System } from "../../system/port.ts";
import type { Seal } from "../pin.ts";

/** The prime has as many bits as the content key, its highest one set. */
const PRIME_BITS = 256;
const IV_BYTES = 12;

const drawPrime = promisify<number, { readonly safe: boolean }, ArrayBuffer>(generatePrime);

/**
 * Seals a secret as `clevis encrypt sss` does: to a key of which each child seals a share, and as
 * many as the threshold give it. The secret stays the caller's.
 * @param threshold from 1 to the number of children
 * @throws NightlatchError what a child's sealing throws
 */
export async function sealToShares(
  system: Pick<System, "random">,
  threshold: number,
  children: readonly Seal[],
  secret: Uint8Array,
): Promise<FlattenedJwe> {
  const prime = Buffer.from(await drawPrime(PRIME_BITS, { safe: true }));
  const { secret: key, shares } = dealShares(prime, { threshold, count: children.length }, (length) =>
    system.random(length),
  );
  try {
    const sealed: FlattenedJwe[] = [];
    // One after the other: a child may ask a person, or a chip that does one thing at a time.
    for (const [index, seal] of children.entries()) sealed.push(await seal((shares[index] as Secret).reveal()));
    const header = sssHeader({ threshold, prime, children: sealed });
    return encryptJwe(header, key.reveal(), system.random(IV_BYTES), secret);
  } finally {
    for (const one of [key, ...shares]) one.wipe();
  }
}
