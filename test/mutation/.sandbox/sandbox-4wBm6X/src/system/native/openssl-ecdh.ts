// @ts-nocheck
import { CONSTANT_TIME, type Openssl, opensslFailure, type Pointer, UNCOMPRESSED } from "./openssl.ts";

/** A curve, as OpenSSL names it. */
export interface OpensslCurve {
  /** obj_mac.h */
  readonly nid: number;
  /** Of a coordinate. */
  readonly lengthBytes: number;
}

const scalars = new FinalizationRegistry<() => void>((free) => free());

/**
 * With the members of node:crypto's ECDH (EC_POINT_mul(3), BN_bin2bn(3)). Points are encoded as SEC
 * 1 has it, uncompressed.
 */
export class OpensslEcdh {
  readonly #openssl: Openssl;
  readonly #lengthBytes: number;
  readonly #group: Pointer;
  readonly #context: Pointer;
  readonly #scalar: Pointer;

  constructor(openssl: Openssl, { nid, lengthBytes }: OpensslCurve) {
    this.#openssl = openssl;
    this.#lengthBytes = lengthBytes;
    this.#group = groupOf(openssl, nid);
    this.#context = contextOf(openssl);
    const scalar = openssl.BN_secure_new();
    if (scalar === null) throw opensslFailure(openssl, "hold a scalar");
    scalars.register(this, () => openssl.BN_clear_free(scalar));
    openssl.BN_set_flags(scalar, CONSTANT_TIME);
    this.#scalar = scalar;
  }

  /** @throws RangeError where it is not below the order of the group */
  setPrivateKey(scalar: Uint8Array): void {
    const openssl = this.#openssl;
    if (openssl.BN_bin2bn(scalar, scalar.byteLength, this.#scalar) === null) throw opensslFailure(openssl, "hold it");
    const isBelow = openssl.BN_cmp(this.#scalar, openssl.EC_GROUP_get0_order(this.#group)) < 0;
    if (!isBelow || openssl.BN_is_zero(this.#scalar) !== 0) throw new RangeError("scalar out of range");
  }

  getPublicKey(): Buffer {
    return this.#withPoint((product) => {
      this.#must(
        this.#openssl.EC_POINT_mul(this.#group, product, this.#scalar, null, null, this.#context),
        "multiply the base point",
      );
      return this.#encode(product);
    });
  }

  /** @returns the x coordinate, in full length @throws Error where it is no point of the curve */
  computeSecret(point: Uint8Array): Buffer {
    // One byte alone would be infinity.
    if (point.byteLength !== 1 + 2 * this.#lengthBytes || point[0] !== UNCOMPRESSED) throw new RangeError("no point");
    return this.#withPoint((given) => {
      const { EC_POINT_oct2point, EC_POINT_mul } = this.#openssl;
      // It checks the equation of the curve.
      this.#must(EC_POINT_oct2point(this.#group, given, point, point.byteLength, this.#context), "read the point");
      return this.#withPoint((product) => {
        this.#must(EC_POINT_mul(this.#group, product, null, given, this.#scalar, this.#context), "multiply");
        const encoded = this.#encode(product);
        const x = Buffer.from(encoded.subarray(1, 1 + this.#lengthBytes));
        encoded.fill(0);
        return x;
      });
    });
  }

  #withPoint<T>(use: (point: Pointer) => T): T {
    const point = this.#openssl.EC_POINT_new(this.#group);
    if (point === null) throw opensslFailure(this.#openssl, "make a point");
    try {
      return use(point);
    } finally {
      this.#openssl.EC_POINT_clear_free(point);
    }
  }

  #encode(point: Pointer): Buffer {
    const into = Buffer.alloc(1 + 2 * this.#lengthBytes);
    const { EC_POINT_is_at_infinity, EC_POINT_point2oct } = this.#openssl;
    const isPoint = EC_POINT_is_at_infinity(this.#group, point) === 0;
    const written = isPoint
      ? EC_POINT_point2oct(this.#group, point, UNCOMPRESSED, into, into.length, this.#context)
      : 0;
    this.#must(written === into.length ? 1 : 0, "encode the point");
    return into;
  }

  #must(status: number, what: string): void {
    if (status !== 1) throw opensslFailure(this.#openssl, what);
  }
}

/** Kept for the life of the process: there are three curves, and one call at a time. */
const groups = new Map<number, Pointer>();
let numbers: Pointer = null;

function groupOf(openssl: Openssl, nid: number): Pointer {
  const group = groups.get(nid) ?? openssl.EC_GROUP_new_by_curve_name(nid);
  if (group === null) throw opensslFailure(openssl, "find the curve");
  groups.set(nid, group);
  return group;
}

function contextOf(openssl: Openssl): Pointer {
  numbers ??= openssl.BN_CTX_secure_new();
  if (numbers === null) throw opensslFailure(openssl, "make room for numbers");
  return numbers;
}
