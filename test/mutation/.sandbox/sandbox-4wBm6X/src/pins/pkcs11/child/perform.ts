// @ts-nocheck
import { Secret } from "../../../core/secret.ts";
import type { RsaScheme } from "../../../formats/clevis/pkcs11.ts";
import { CURVES } from "../../../formats/jose/curve.ts";
import type { CardAnswer, CardRequest } from "../../../formats/pkcs11/exchange.ts";
import type { Cryptoki } from "../../../system/native/cryptoki.ts";
import { CKA, CKF, CKG, CKK, CKM, CKO, CKR, CKU, NO_KDF, OAEP_SOURCE } from "./constants.ts";
import { attributeOf, findKeys, type PrivateKey, publicHalf } from "./keys.ts";
import { must, RequestEnded } from "./request-ended.ts";
import { attributes, flag, mechanism, ulong, wordAt, words } from "./structures.ts";
import { findToken, logIn, openSession, type Session } from "./token.ts";

/** More keys than this are not tried for a binding that does not say which it is. */
const TRIED_COUNT = 4;
const OUTPUT_BYTES = 2048;
const PIN_OUTCOMES: ReadonlySet<string> = new Set(["wrong-pin", "locked"]);

/**
 * Does what a request asks of a card. It runs in a process of its own, which the driver may end or
 * hang. The caller wipes the secrets.
 * @param load the driver @throws nothing but defects
 */
export function performCardRequest(request: CardRequest, load: (module: string) => Cryptoki): CardAnswer {
  try {
    const cryptoki = loadOrEnd(request.module, load);
    const locking = words(0, 0, 0, 0, CKF.OS_LOCKING_OK, 0);
    const begun = cryptoki.call("C_Initialize", locking);
    if (begun !== CKR.CRYPTOKI_ALREADY_INITIALIZED) must(begun, "C_Initialize");
    const session = openSession(cryptoki, findToken(cryptoki, request.token), request);
    try {
      return { outcome: "done", token: session.token, ...withKey(cryptoki, session, request) };
    } finally {
      cryptoki.call("C_Logout", session.id); // else a card may stay open to whoever comes next
    }
  } catch (error) {
    if (error instanceof RequestEnded) return { ...error.answer, secrets: [] };
    throw error;
  }
}

function loadOrEnd(module: string, load: (module: string) => Cryptoki): Cryptoki {
  try {
    return load(module);
  } catch {
    throw new RequestEnded({ outcome: "no-driver" });
  }
}

function withKey(cryptoki: Cryptoki, session: Session, request: CardRequest): Pick<CardAnswer, "secrets" | "key"> {
  const { object, task } = request;
  if (task.kind === "describe") {
    const [key, ...others] = findKeys(cryptoki, session, object, ["RSA", "EC"]);
    if (key === undefined || others.length > 0)
      throw new RequestEnded({ outcome: "several-keys", token: session.token });
    return { secrets: [], key: publicHalf(cryptoki, session, key) };
  }
  const keys = findKeys(cryptoki, session, object, [task.kind === "decrypt" ? "RSA" : "EC"]).slice(0, TRIED_COUNT);
  const secrets: Secret[] = [];
  let last: RequestEnded | null = null;
  for (const key of keys) {
    try {
      if (task.kind === "derive")
        secrets.push(derive(cryptoki, session, key, CURVES[task.curve].lengthBytes, task.input));
      else secrets.push(decrypt(cryptoki, session, key, task.scheme, task.input, request.pin));
    } catch (error) {
      // After a PIN that was wrong nothing else is tried: it could cost another attempt.
      if (!(error instanceof RequestEnded) || PIN_OUTCOMES.has(error.answer.outcome)) throw error;
      last = error; // the key of another binding, or of another use
    }
  }
  if (secrets.length === 0 && last !== null) throw last;
  return { secrets };
}

function decrypt(
  cryptoki: Cryptoki,
  session: Session,
  key: PrivateKey,
  scheme: RsaScheme,
  input: Uint8Array,
  pin: Uint8Array | null,
): Secret {
  const how = rsaMechanism(cryptoki, scheme);
  // CKR_ARGUMENTS_BAD is what SoftHSM says of a hash that it does not have.
  const begun = cryptoki.call("C_DecryptInit", session.id, how, key.object);
  if (begun === CKR.ARGUMENTS_BAD) must(CKR.MECHANISM_PARAM_INVALID, "C_DecryptInit");
  must(begun, "C_DecryptInit");
  const always = attributeOf(cryptoki, session, key.object, CKA.ALWAYS_AUTHENTICATE);
  if (always?.[0] === 1 && pin !== null) logIn(cryptoki, session, CKU.CONTEXT_SPECIFIC, pin);
  const output = Buffer.alloc(OUTPUT_BYTES);
  const count = words(output.length);
  try {
    must(cryptoki.call("C_Decrypt", session.id, input, input.byteLength, output, count), "C_Decrypt");
    return Secret.copy(output.subarray(0, Number(wordAt(count, 0))));
  } finally {
    output.fill(0);
  }
}

function rsaMechanism(cryptoki: Cryptoki, scheme: RsaScheme): Buffer {
  if (scheme === "RSA-PKCS") return mechanism(cryptoki, CKM.RSA_PKCS, null);
  const [hash, mask] = scheme === "RSA-OAEP-SHA-1" ? [CKM.SHA_1, CKG.MGF1_SHA1] : [CKM.SHA256, CKG.MGF1_SHA256];
  return mechanism(cryptoki, CKM.RSA_PKCS_OAEP, words(hash, mask, OAEP_SOURCE, 0, 0));
}

/** The x coordinate of the product, as a session's own key whose value may be read. */
function derive(cryptoki: Cryptoki, session: Session, key: PrivateKey, lengthBytes: number, point: Uint8Array): Secret {
  const parameters = words(NO_KDF, 0, 0, point.byteLength, cryptoki.pointerTo(point));
  const how = mechanism(cryptoki, CKM.ECDH1_DERIVE, parameters);
  const template = [
    [CKA.CLASS, ulong(CKO.SECRET_KEY)],
    [CKA.KEY_TYPE, ulong(CKK.GENERIC_SECRET)],
    [CKA.TOKEN, flag(false)],
    [CKA.SENSITIVE, flag(false)],
    [CKA.EXTRACTABLE, flag(true)],
    [CKA.VALUE_LEN, ulong(lengthBytes)],
  ] as const;
  const derived = Buffer.alloc(8);
  const list = attributes(cryptoki, template);
  must(cryptoki.call("C_DeriveKey", session.id, how, key.object, list, template.length, derived), "C_DeriveKey");
  const value = attributeOf(cryptoki, session, wordAt(derived, 0), CKA.VALUE);
  if (value === null) throw new RequestEnded({ outcome: "unsupported", token: session.token });
  const secret = Secret.copy(value);
  value.fill(0);
  return secret;
}
