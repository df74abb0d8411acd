// @ts-nocheck
import { type TpmHash, tpmDigest, tpmHmac } from "./hash.ts";
import { u32 } from "./wire.ts";

/** What sets one derived key apart from another of the same secret. */
interface KdfContext {
  /** Without the zero at its end, which is added. */
  readonly label: string;
  readonly u: Uint8Array;
  readonly v: Uint8Array;
  readonly lengthBytes: number;
}

/** KDFa, part 1 section 11.4.10.2: SP 800-108 in counter mode with HMAC. The caller wipes it. */
export function kdfa(hash: TpmHash, key: Uint8Array, { label, u, v, lengthBytes }: KdfContext): Buffer {
  const name = Buffer.from(`${label}\0`, "latin1");
  return blocks(hash, lengthBytes, (counter) => tpmHmac(hash, key, counter, name, u, v, u32(lengthBytes * 8)));
}

/** KDFe, part 1 section 11.4.10.3: SP 800-56A over what an ECDH gave. The caller wipes it. */
export function kdfe(hash: TpmHash, z: Uint8Array, { label, u, v, lengthBytes }: KdfContext): Buffer {
  const name = Buffer.from(`${label}\0`, "latin1");
  return blocks(hash, lengthBytes, (counter) => tpmDigest(hash, counter, z, name, u, v));
}

function blocks(hash: TpmHash, lengthBytes: number, block: (counter: Buffer) => Buffer): Buffer {
  const derived = Buffer.alloc(lengthBytes);
  for (let round = 0; round * hash.lengthBytes < lengthBytes; round++) {
    const part = block(u32(round + 1));
    part.copy(derived, round * hash.lengthBytes);
    part.fill(0);
  }
  return derived;
}
