// @ts-nocheck
import {
  CONSTANT_TIME,
  NID_P256,
  type Openssl,
  openOpenssl,
  opensslFailure,
  type Pointer,
  UNCOMPRESSED,
} from "../../system/native/openssl.ts";
import { type Exchange, POINT_BYTES, SCALAR_BYTES } from "./port.ts";

/**
 * The exchange by OpenSSL's own point arithmetic, EC_POINT_mul(3). Null where this Node does not
 * export what it takes.
 */
export function openOpensslExchange(): Exchange | null {
  const openssl = openOpenssl();
  if (openssl === null) return null;
  const group = openssl.EC_GROUP_new_by_curve_name(NID_P256);
  const context = openssl.BN_CTX_secure_new();
  if (group === null || context === null) return null;
  // Kept for the life of the process and used by one call at a time. They hold only what the wire
  // shows.
  const [given, product] = [openssl.EC_POINT_new(group), openssl.EC_POINT_new(group)];
  if (given === null || product === null) return null;
  /**
   * EC_POINT_oct2point checks the equation of the curve. One byte alone would be infinity, and the
   * length excludes it.
   */
  const read = (point: Buffer): boolean => {
    if (point.length !== POINT_BYTES || point[0] !== UNCOMPRESSED) return false;
    if (openssl.EC_POINT_oct2point(group, given, point, POINT_BYTES, context) === 1) return true;
    openssl.ERR_clear_error();
    return false;
  };
  return {
    name: "openssl",
    isPoint: read,
    multiply(scalar, point) {
      if (scalar.length !== SCALAR_BYTES) throw new TypeError("a scalar of P-256 has 32 bytes");
      if (!read(point)) throw new RangeError("not a point of P-256");
      multiplyInto(openssl, { group, context, given, product }, scalar);
      const answer = Buffer.alloc(POINT_BYTES);
      if (
        openssl.EC_POINT_is_at_infinity(group, product) !== 0 ||
        openssl.EC_POINT_point2oct(group, product, UNCOMPRESSED, answer, POINT_BYTES, context) !== POINT_BYTES
      ) {
        throw opensslFailure(openssl, "multiply");
      }
      return answer;
    },
  };
}

interface Workspace {
  readonly group: Pointer;
  readonly context: Pointer;
  readonly given: Pointer;
  readonly product: Pointer;
}

function multiplyInto(openssl: Openssl, { group, context, given, product }: Workspace, scalar: Buffer): void {
  const number = openssl.BN_secure_new();
  if (number === null) throw opensslFailure(openssl, "multiply");
  try {
    if (openssl.BN_bin2bn(scalar, SCALAR_BYTES, number) === null) throw opensslFailure(openssl, "multiply");
    openssl.BN_set_flags(number, CONSTANT_TIME);
    if (openssl.EC_POINT_mul(group, product, null, given, number, context) !== 1) {
      throw opensslFailure(openssl, "multiply");
    }
  } finally {
    openssl.BN_clear_free(number);
  }
}
