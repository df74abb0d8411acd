// @ts-nocheck
import { createECDH, type ECDH } from "node:crypto";
import { NightlatchError } from "../../core/errors.ts";
import {
  addPoints,
  type Curve,
  invert,
  liftX,
  modulo,
  negatePoint,
  type Point,
  toBytes,
  toInteger,
} from "../jose/curve.ts";

/**
 * The McCallum–Relyea exchange, of tang. G is the base point and lower case letters are scalars;
 * the server has s and S=sG.
 *
 *   provision: the client draws c, keeps C=cG, uses K=cS and forgets c and K.
 *   recover:   the client draws e, sends X=C+eG; the server answers Y=sX; K=Y−eS.
 *
 * Multiplications are OpenSSL's (createECDH), which gives only the x coordinate of a product with a
 * point that is not G. The server must answer a whole point, so it multiplies a second time, by
 * s+1. With Q=sX and x₃=x(Q+X), the addition law for y²=x³+ax+b, a=−3, gives
 *
 *   y_Q = [(x_X+x_Q)(x_X·x_Q+a)+2b−x₃(x_X−x_Q)²] / (2·y_X)
 *
 * with no root to take and no sign to guess. It does not hold for s ∈ {0, ±1, −2}; such a scalar is
 * never used. A multiplication on P-521 costs the client milliseconds of its cold start, so it
 * takes the square root and tries both signs: of K=Y∓Q only one opens what it was sealed with.
 *
 * What then remains is BigInt arithmetic, whose time varies. X=C+eG is made of points that are
 * public to whoever holds the disk and watches the network. Q=eS and K=Y−Q are computed once, where
 * e is used for nothing else and nobody can make this process use it again. BigInts cannot be
 * wiped: Q and K stay in the heap until they are collected. What is in Buffers is wiped.
 */

/**
 * The multiplication by one fixed scalar, whole points in and out: the server's half of the
 * exchange, which turns X into Y. It holds the scalar inside OpenSSL.
 */
interface Multiplier {
  /** @throws NightlatchError jwk/off-curve */
  multiply(point: Point): Point;
}

/**
 * Makes the multiplication by a scalar.
 * @param scalar big-endian, of the curve's length; it stays the caller's to wipe
 * @throws RangeError where `isUsableScalar` says that it is not usable
 */
export function createMultiplier(curve: Curve, scalar: Uint8Array): Multiplier {
  if (!isUsableScalar(curve, scalar)) throw new RangeError("scalar out of range");
  const once = holder(curve, Buffer.from(scalar));
  const andOne = holder(curve, successor(scalar));
  return { multiply: (point) => wholeProduct(point, once, andOne) };
}

/** In [2, n−3]: everything but 0, ±1 and −2. @param scalar big-endian, of the curve's length */
export function isUsableScalar({ n, lengthBytes }: Curve, scalar: Uint8Array): boolean {
  return (
    scalar.byteLength === lengthBytes &&
    Buffer.compare(scalar, toBytes(2n, lengthBytes)) >= 0 &&
    Buffer.compare(scalar, toBytes(n - 3n, lengthBytes)) <= 0
  );
}

/**
 * Draws a scalar, uniform over the usable ones, by drawing again.
 * @param draw from the kernel's CSPRNG
 */
export function drawScalar(curve: Curve, draw: (lengthBytes: number) => Buffer): Buffer {
  const excessBits = curve.lengthBytes * 8 - curve.n.toString(2).length;
  for (;;) {
    const scalar = draw(curve.lengthBytes);
    scalar[0] = (scalar[0] ?? 0) & (0xff >> excessBits);
    if (isUsableScalar(curve, scalar)) return scalar;
  }
}

/**
 * What provisioning leaves: C, which goes into the binding, and the x coordinate of K, from which
 * its key is derived.
 */
interface Provision {
  readonly ephemeral: Point;
  /** Secret; the caller wipes it. */
  readonly sharedX: Buffer;
}

/**
 * Provisions a binding: docs/format/tang.md.
 * @param serverKey S, on its curve
 */
export function provision(serverKey: Point, draw: (lengthBytes: number) => Buffer): Provision {
  const { curve } = serverKey;
  const scalar = drawScalar(curve, draw);
  const ecdh = holder(curve, scalar);
  return { ephemeral: ownPoint(curve, ecdh), sharedX: fullLength(curve, ecdh.computeSecret(encodePoint(serverKey))) };
}

/** One recovery: what is sent, and what turns the answer into K's x coordinate. */
export interface Recovery {
  /** X */
  readonly request: Point;
  /**
   * The x coordinates of Y−eS and Y+eS: the sign of eS is not known, and one of them is K's. Both
   * are secret, and the caller wipes them. They prove nothing about the server: only decryption
   * does.
   * @param reply Y, on its curve
   * @throws NightlatchError tang/malformed where Y cannot be an honest answer
   */
  finish(reply: Point): readonly [Buffer, Buffer];
  /** Computes ahead what `finish` needs beside the reply: for while one waits for it. */
  prepare(): void;
}

/**
 * Begins a recovery.
 * @param ephemeral C
 * @param serverKey S, on the same curve
 */
export function beginRecovery(ephemeral: Point, serverKey: Point, draw: (lengthBytes: number) => Buffer): Recovery {
  const { curve } = ephemeral;
  for (;;) {
    const blinding = holder(curve, drawScalar(curve, draw));
    const request = addPoints(ephemeral, ownPoint(curve, blinding));
    if (request === null) continue; // e = −c: as likely as guessing the key
    let blind: Point | null = null;
    const findBlind = () => {
      if (blind !== null) return blind;
      const product = blinding.computeSecret(encodePoint(serverKey));
      blind = liftX(curve, toInteger(product));
      product.fill(0);
      return blind;
    };
    return {
      request,
      prepare: findBlind,
      finish: (reply) => [sharedX(reply, negatePoint(findBlind())), sharedX(reply, findBlind())],
    };
  }
}

function sharedX(reply: Point, blind: Point): Buffer {
  const shared = addPoints(reply, blind);
  // Y=±eS: an answer that was made from S alone, which takes the knowledge of e.
  if (shared === null) throw new NightlatchError("tang/malformed", "the key server's answer leaves no key");
  return toBytes(shared.x, reply.curve.lengthBytes);
}

/** Wipes `scalar`; OpenSSL's copy is cleared by it when the object is collected. */
function holder(curve: Curve, scalar: Buffer): ECDH {
  const ecdh = createECDH(curve.opensslName);
  ecdh.setPrivateKey(scalar);
  scalar.fill(0);
  return ecdh;
}

function wholeProduct(point: Point, once: ECDH, andOne: ECDH): Point {
  const { curve, x: ownX, y: ownY } = point;
  const { p, b } = curve;
  const encoded = encodePoint(point);
  let x: bigint;
  let nextX: bigint;
  try {
    x = toInteger(once.computeSecret(encoded));
    nextX = toInteger(andOne.computeSecret(encoded));
  } catch {
    throw new NightlatchError("jwk/off-curve", `the point is not one of ${curve.name}`);
  }
  const difference = ownX - x;
  const numerator = (ownX + x) * (ownX * x - 3n) + 2n * b - nextX * difference * difference;
  return { curve, x, y: modulo(numerator * invert(2n * ownY, p), p) };
}

/** SEC 1 section 2.3.3, uncompressed: 0x04 ‖ x ‖ y. */
export function encodePoint({ curve, x, y }: Point): Buffer {
  return Buffer.concat([Buffer.of(4), toBytes(x, curve.lengthBytes), toBytes(y, curve.lengthBytes)]);
}

function ownPoint(curve: Curve, ecdh: ECDH): Point {
  const encoded = ecdh.getPublicKey();
  return {
    curve,
    x: toInteger(encoded.subarray(1, 1 + curve.lengthBytes)),
    y: toInteger(encoded.subarray(1 + curve.lengthBytes)),
  };
}

/** OpenSSL gives every coordinate in full; a shorter one would derive another key. */
function fullLength(curve: Curve, coordinate: Buffer): Buffer {
  if (coordinate.length !== curve.lengthBytes) throw new RangeError("coordinate of an unexpected length");
  return coordinate;
}

/** scalar + 1, which is below n. */
function successor(scalar: Uint8Array): Buffer {
  const next = Buffer.from(scalar);
  for (let at = next.length - 1; at >= 0; at--) {
    const byte = ((next[at] ?? 0) + 1) & 0xff;
    next[at] = byte;
    if (byte !== 0) break;
  }
  return next;
}
