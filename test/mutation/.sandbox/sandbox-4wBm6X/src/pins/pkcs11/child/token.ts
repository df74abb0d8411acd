// @ts-nocheck
import type { CardRequest, TokenFacts } from "../../../formats/pkcs11/exchange.ts";
import type { TokenMatch } from "../../../formats/pkcs11/uri.ts";
import type { Cryptoki } from "../../../system/native/cryptoki.ts";
import { CKF, CKR, CKU } from "./constants.ts";
import { must, RequestEnded } from "./request-ended.ts";
import { readTokenInfo, type TokenInfo, tokenInfoBuffer, wordAt, words } from "./structures.ts";

interface Slot {
  readonly id: bigint;
  /** Among all slots, those without a token included: clevis's `slot-id` counts so. */
  readonly index: number;
  readonly info: TokenInfo;
}

const SLOT_COUNT = 64;

/** Finds the one token that is meant. @throws RequestEnded absent, several-tokens */
export function findToken(cryptoki: Cryptoki, match: TokenMatch): Slot {
  const all = listSlots(cryptoki, false);
  const slots = listSlots(cryptoki, true).flatMap((id) => {
    const info = tokenInfoBuffer();
    if (cryptoki.call("C_GetTokenInfo", id, info) !== CKR.OK) return [];
    return [{ id, index: all.indexOf(id), info: readTokenInfo(info) }];
  });
  const tokens = slots.filter(({ info }) => (info.flags & CKF.TOKEN_INITIALIZED) !== 0);
  const fitting = tokens.filter((slot) => fits(slot, match));
  const seen = tokens.map(({ info }) => info.label);
  const [first, ...others] = fitting;
  if (first === undefined) throw new RequestEnded({ outcome: "absent", seen });
  // Two drivers may show the same card; p11-kit gives both.
  if (others.some(({ info }) => !isSame(info, first.info))) throw new RequestEnded({ outcome: "several-tokens", seen });
  return first;
}

function fits({ id, index, info }: Slot, { token, manufacturer, serial, model, slotId }: TokenMatch): boolean {
  const is = (wanted: string | undefined, found: string) => wanted === undefined || wanted === found;
  return (
    is(token, info.label) &&
    is(manufacturer, info.manufacturer) &&
    is(serial, info.serial) &&
    is(model, info.model) &&
    (slotId === undefined || BigInt(slotId) === id || slotId === index)
  );
}

const isSame = (one: TokenInfo, other: TokenInfo): boolean =>
  one.label === other.label && one.serial === other.serial && one.manufacturer === other.manufacturer;

function listSlots(cryptoki: Cryptoki, withToken: boolean): bigint[] {
  const list = Buffer.alloc(SLOT_COUNT * 8);
  const count = words(SLOT_COUNT);
  must(cryptoki.call("C_GetSlotList", withToken ? 1 : 0, list, count), "C_GetSlotList");
  return Array.from({ length: Math.min(SLOT_COUNT, Number(wordAt(count, 0))) }, (_, at) => wordAt(list, at));
}

/** A session, and whether it is logged in. */
export interface Session {
  readonly id: bigint;
  readonly token: TokenFacts;
}

/**
 * Opens a session, and logs in where the token asks for that. The PIN is tried at most once, and
 * not at all where the token says that a wrong one would cost too much.
 * @throws RequestEnded pin-needed, pin-pad, wrong-pin, few-tries, last-try, locked, …
 */
export function openSession(cryptoki: Cryptoki, slot: Slot, { pin, attended }: CardRequest): Session {
  const { flags, label, serial } = slot.info;
  const token = { label, serial };
  const has = (bit: number) => (flags & bit) !== 0;
  if (has(CKF.USER_PIN_LOCKED)) throw new RequestEnded({ outcome: "locked", token });
  const id = Buffer.alloc(8);
  must(cryptoki.call("C_OpenSession", slot.id, CKF.SERIAL_SESSION, null, null, id), "C_OpenSession");
  const session = { id: wordAt(id, 0), token };
  if (!has(CKF.LOGIN_REQUIRED)) return session;
  if (has(CKF.PROTECTED_AUTHENTICATION_PATH)) throw new RequestEnded({ outcome: "pin-pad", token });
  // Before anybody is asked for a PIN that will not be tried.
  if (has(CKF.USER_PIN_FINAL_TRY)) throw new RequestEnded({ outcome: "last-try", token });
  if (pin === null) throw new RequestEnded({ outcome: "pin-needed", token });
  if (has(CKF.USER_PIN_COUNT_LOW) && !attended) throw new RequestEnded({ outcome: "few-tries", token });
  logIn(cryptoki, session, CKU.USER, pin);
  return session;
}

/** Logs in once. @throws RequestEnded wrong-pin, locked, … */
export function logIn(cryptoki: Cryptoki, { id, token }: Session, user: number, pin: Uint8Array): void {
  const value = cryptoki.call("C_Login", id, user, pin, pin.byteLength);
  if (value === CKR.USER_ALREADY_LOGGED_IN) return;
  try {
    must(value, "C_Login");
  } catch (error) {
    throw error instanceof RequestEnded ? new RequestEnded({ ...error.answer, token }) : error;
  }
}
