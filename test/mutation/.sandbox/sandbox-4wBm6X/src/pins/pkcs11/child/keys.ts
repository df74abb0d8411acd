// @ts-nocheck
import type { CurveName } from "../../../formats/jose/curve.ts";
import type { CardKey } from "../../../formats/pkcs11/exchange.ts";
import type { ObjectMatch } from "../../../formats/pkcs11/uri.ts";
import type { Cryptoki } from "../../../system/native/cryptoki.ts";
import { CKA, CKK, CKO, CKR } from "./constants.ts";
import { must, RequestEnded } from "./request-ended.ts";
import { attributes, lengthOf, ulong, wordAt, words } from "./structures.ts";
import type { Session } from "./token.ts";

/** More keys than a card has. */
const KEY_COUNT = 64;
const ATTRIBUTE_BYTES = 4096;

/** A private key on the token. */
export interface PrivateKey {
  readonly object: bigint;
  readonly type: "RSA" | "EC";
}

/** Lists the private keys that are meant. @throws RequestEnded no-key */
export function findKeys(
  cryptoki: Cryptoki,
  session: Session,
  match: ObjectMatch,
  types: readonly PrivateKey["type"][],
): PrivateKey[] {
  const keys = types.flatMap((type) => {
    const object = find(cryptoki, session, CKO.PRIVATE_KEY, [
      [CKA.KEY_TYPE, ulong(CKK[type])],
      ...(match.object === undefined ? [] : [[CKA.LABEL, Buffer.from(match.object)] as const]),
      ...(match.id === undefined ? [] : [[CKA.ID, Buffer.from(match.id, "hex")] as const]),
    ]);
    return object.map((one) => ({ object: one, type }));
  });
  if (keys.length === 0) throw new RequestEnded({ outcome: "no-key", token: session.token });
  return keys;
}

function find(
  cryptoki: Cryptoki,
  { id }: Session,
  kind: number,
  template: readonly (readonly [number, Buffer])[],
): bigint[] {
  const list = attributes(cryptoki, [[CKA.CLASS, ulong(kind)], ...template]);
  must(cryptoki.call("C_FindObjectsInit", id, list, 1 + template.length), "C_FindObjectsInit");
  const found = Buffer.alloc(KEY_COUNT * 8);
  const count = words(0);
  const value = cryptoki.call("C_FindObjects", id, found, KEY_COUNT, count);
  cryptoki.call("C_FindObjectsFinal", id);
  must(value, "C_FindObjects");
  return Array.from({ length: Math.min(KEY_COUNT, Number(wordAt(count, 0))) }, (_, at) => wordAt(found, at));
}

/** Gives an attribute of an object; null where it has none, or keeps it. */
export function attributeOf(cryptoki: Cryptoki, { id }: Session, object: bigint, type: number): Buffer | null {
  const value = Buffer.alloc(ATTRIBUTE_BYTES);
  const list = attributes(cryptoki, [[type, value]]);
  const length = cryptoki.call("C_GetAttributeValue", id, object, list, 1) === CKR.OK ? lengthOf(list, 0) : null;
  return length === null || length > value.length ? null : value.subarray(0, length);
}

/** Gives the public half of a private key. @throws RequestEnded no-key, unsupported */
export function publicHalf(cryptoki: Cryptoki, session: Session, { object, type }: PrivateKey): CardKey {
  const own = (attribute: number) => attributeOf(cryptoki, session, object, attribute);
  const id = own(CKA.ID);
  const [sibling] =
    id === null || id.length === 0
      ? []
      : find(cryptoki, session, CKO.PUBLIC_KEY, [
          [CKA.KEY_TYPE, ulong(CKK[type])],
          [CKA.ID, id],
        ]);
  const read = (attribute: number) => {
    const value = own(attribute);
    if (value !== null && value.length > 0) return value;
    return sibling === undefined ? null : attributeOf(cryptoki, session, sibling, attribute);
  };
  if (type === "RSA") {
    const [modulus, exponent] = [read(CKA.MODULUS), read(CKA.PUBLIC_EXPONENT)];
    if (modulus === null || exponent === null) throw new RequestEnded({ outcome: "no-key", token: session.token });
    return { kind: "RSA", modulus: modulus.toString("hex"), exponent: exponent.toString("hex") };
  }
  const [parameters, point] = [read(CKA.EC_PARAMS), read(CKA.EC_POINT)];
  if (parameters === null || point === null) throw new RequestEnded({ outcome: "no-key", token: session.token });
  const curve = CURVE_BY_PARAMETERS[parameters.toString("hex")];
  if (curve === undefined) throw new RequestEnded({ outcome: "unsupported", token: session.token });
  return { kind: "EC", curve, point: bareOctets(point).toString("hex") };
}

/** CKA_EC_PARAMS: the curve's OID in DER. */
const CURVE_BY_PARAMETERS: Readonly<Record<string, CurveName>> = {
  "06082a8648ce3d030107": "P-256",
  "06052b81040022": "P-384",
  "06052b81040023": "P-521",
};

/** CKA_EC_POINT is an OCTET STRING in DER; older drivers give its content alone. */
function bareOctets(point: Buffer): Buffer {
  const [tag = 0, length = 0] = point;
  const isLong = length === 0x81;
  const head = isLong ? 3 : 2;
  const isDer = tag === 0x04 && (isLong ? point[2] : length) === point.length - head;
  return isDer ? point.subarray(head) : point;
}
