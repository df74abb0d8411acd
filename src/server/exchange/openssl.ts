import { libcFunction } from "../../system/native.ts";
import { type Exchange, POINT_BYTES, SCALAR_BYTES } from "./port.ts";

/** An address; null where C gives NULL. */
type Pointer = bigint | null;

/** OpenSSL's own point arithmetic, EC_POINT_mul(3) and BN_bin2bn(3): Node carries it and exports its symbols. */
interface Symbols {
  newGroup(nid: number): Pointer;
  newPoint(group: Pointer): Pointer;
  newContext(): Pointer;
  newNumber(): Pointer;
  setNumber(bytes: Buffer, lengthBytes: number, into: Pointer): Pointer;
  setFlags(number: Pointer, flags: number): void;
  wipeNumber(number: Pointer): void;
  readPoint(group: Pointer, into: Pointer, bytes: Buffer, lengthBytes: number, context: Pointer): number;
  multiply(group: Pointer, into: Pointer, none: null, point: Pointer, scalar: Pointer, context: Pointer): number;
  isInfinity(group: Pointer, point: Pointer): number;
  writePoint(group: Pointer, point: Pointer, form: number, into: Buffer, lengthBytes: number, context: Pointer): number;
  clearErrors(): void;
}

const NID_P256 = 415; // NID_X9_62_prime256v1, obj_mac.h
const UNCOMPRESSED = 4; // POINT_CONVERSION_UNCOMPRESSED, ec.h
const CONSTANT_TIME = 4; // BN_FLG_CONSTTIME, bn.h

/** Null where this Node does not export what it takes. */
export function openOpensslExchange(): Exchange | null {
  const symbols = findSymbols();
  if (symbols === null) return null;
  const group = symbols.newGroup(NID_P256);
  const context = symbols.newContext();
  if (group === null || context === null) return null;
  // Kept for the life of the process and used by one call at a time; they hold only what the wire shows.
  const [given, product] = [symbols.newPoint(group), symbols.newPoint(group)];
  if (given === null || product === null) return null;
  /** EC_POINT_oct2point checks the equation of the curve. One byte alone would be infinity, and the length excludes it. */
  const read = (point: Buffer): boolean => {
    if (point.length !== POINT_BYTES || point[0] !== UNCOMPRESSED) return false;
    if (symbols.readPoint(group, given, point, POINT_BYTES, context) === 1) return true;
    symbols.clearErrors();
    return false;
  };
  return {
    name: "openssl",
    isPoint: read,
    multiply(scalar, point) {
      if (scalar.length !== SCALAR_BYTES) throw new TypeError("a scalar of P-256 has 32 bytes");
      if (!read(point)) throw new RangeError("not a point of P-256");
      multiplyInto(symbols, { group, context, given, product }, scalar);
      const answer = Buffer.alloc(POINT_BYTES);
      if (
        symbols.isInfinity(group, product) !== 0 ||
        symbols.writePoint(group, product, UNCOMPRESSED, answer, POINT_BYTES, context) !== POINT_BYTES
      ) {
        throw failure(symbols);
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

function multiplyInto(symbols: Symbols, { group, context, given, product }: Workspace, scalar: Buffer): void {
  const number = symbols.newNumber();
  if (number === null) throw failure(symbols);
  try {
    if (symbols.setNumber(scalar, SCALAR_BYTES, number) === null) throw failure(symbols);
    symbols.setFlags(number, CONSTANT_TIME);
    if (symbols.multiply(group, product, null, given, number, context) !== 1) throw failure(symbols);
  } finally {
    symbols.wipeNumber(number);
  }
}

function findSymbols(): Symbols | null {
  const find = <T>(prototype: string): T => libcFunction(prototype) as unknown as T;
  try {
    return {
      newGroup: find("void *EC_GROUP_new_by_curve_name(int nid)"),
      newPoint: find("void *EC_POINT_new(void *group)"),
      newContext: find("void *BN_CTX_secure_new()"),
      newNumber: find("void *BN_secure_new()"),
      setNumber: find("void *BN_bin2bn(void *s, int len, void *ret)"),
      setFlags: find("void BN_set_flags(void *b, int n)"),
      wipeNumber: find("void BN_clear_free(void *a)"),
      readPoint: find("int EC_POINT_oct2point(void *group, void *p, void *buf, size_t len, void *ctx)"),
      multiply: find("int EC_POINT_mul(void *group, void *r, void *n, void *q, void *m, void *ctx)"),
      isInfinity: find("int EC_POINT_is_at_infinity(void *group, void *p)"),
      writePoint: find("size_t EC_POINT_point2oct(void *group, void *p, int form, void *buf, size_t len, void *ctx)"),
      clearErrors: find("void ERR_clear_error()"),
    };
  } catch {
    return null; // koffi, or one of the symbols, is missing
  }
}

/** OpenSSL's error queue is Node's too: what we caused must not surface in a later call of node:crypto. */
function failure(symbols: Symbols): Error {
  symbols.clearErrors();
  return new Error("OpenSSL could not multiply");
}
