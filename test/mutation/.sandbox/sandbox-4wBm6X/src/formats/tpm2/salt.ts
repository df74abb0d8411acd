// @ts-nocheck
import { constants, createPublicKey, publicEncrypt } from "node:crypto";
import { toBase64url } from "../../core/bytes.ts";
import { Secret } from "../../core/secret.ts";
import { CURVES, isOnCurve, toBytes, toInteger } from "../jose/curve.ts";
import { provision } from "../tang/ecmr.ts";
import { kdfe } from "./kdf.ts";
import { COORDINATE_BYTES, type PrimaryPublic } from "./public-area.ts";
import { type Refuse, sized } from "./wire.ts";

/** A secret that only this program and the chip know, and what tells the chip. */
interface Salt {
  readonly secret: Secret;
  /** TPM2B_ENCRYPTED_SECRET, without its length. */
  readonly encrypted: Buffer;
}

/**
 * Makes the salt of a session for a primary key: whoever listens on the bus sees it encrypted to
 * that key alone (part 1, sections 19.6.13, B.10.2 and C.6.1). The caller wipes it.
 * @param random bytes, never given before
 */
export function makeSalt(primary: PrimaryPublic, random: (lengthBytes: number) => Buffer, refuse: Refuse): Salt {
  return primary.kind === "rsa" ? saltByRsa(primary, random) : saltByEcdh(primary, random, refuse);
}

function saltByRsa(
  { hash, modulus }: Extract<PrimaryPublic, { kind: "rsa" }>,
  random: (lengthBytes: number) => Buffer,
): Salt {
  const secret = Secret.take(random(hash.lengthBytes));
  const key = createPublicKey({ key: { kty: "RSA", n: toBase64url(modulus), e: "AQAB" }, format: "jwk" });
  const padding = constants.RSA_PKCS1_OAEP_PADDING;
  const options = { key, padding, oaepHash: hash.name, oaepLabel: Buffer.from("SECRET\0", "latin1") };
  return { secret, encrypted: publicEncrypt(options, secret.reveal()) };
}

function saltByEcdh(
  { hash, x, y }: Extract<PrimaryPublic, { kind: "ecc" }>,
  random: (lengthBytes: number) => Buffer,
  refuse: Refuse,
): Salt {
  const point = { curve: CURVES["P-256"], x: toInteger(x), y: toInteger(y) };
  if (!isOnCurve(point)) refuse("its key is no point of P-256");
  const { ephemeral, sharedX } = provision(point, random);
  const [ownX, ownY] = [toBytes(ephemeral.x, COORDINATE_BYTES), toBytes(ephemeral.y, COORDINATE_BYTES)];
  const secret = Secret.take(kdfe(hash, sharedX, { label: "SECRET", u: ownX, v: x, lengthBytes: hash.lengthBytes }));
  sharedX.fill(0);
  return { secret, encrypted: Buffer.concat([sized(ownX), sized(ownY)]) };
}
