// @ts-nocheck
import { createCipheriv, createDecipheriv, timingSafeEqual } from "node:crypto";
import { Secret } from "../../core/secret.ts";
import {
  type Answer,
  formatCommand,
  nameOf,
  parseAnswer,
  readAnswer,
  refuseAnswer,
  type TpmCommand,
} from "./command.ts";
import { type TpmHash, tpmDigest, tpmHmac } from "./hash.ts";
import { kdfa } from "./kdf.ts";
import { sized, TpmReader, u8, u32 } from "./wire.ts";

/** Of this program's own. */
export const OWN_NONCE_BYTES = 32;
const [RS_PW, CONTINUE, DECRYPT, ENCRYPT] = [0x40000009, 0x01, 0x20, 0x40];
const AES_KEY_BYTES = 16;
const AES_IV_BYTES = 16;

/** A session that the chip has opened. Its key is of this program and the chip alone. */
export interface TpmSession {
  readonly handle: number;
  /** Of its HMAC and of its policy. */
  readonly hash: TpmHash;
  readonly key: Secret;
  /** The chip's last; every answer brings the next. */
  nonce: Buffer;
}

/** Gives a session its key (part 1 section 19.6.8). The caller wipes it; the salt stays its own. */
export function sessionOf(
  { handle, hash }: Pick<TpmSession, "handle" | "hash">,
  salt: Secret,
  nonces: { readonly own: Buffer; readonly chips: Buffer },
): TpmSession {
  const context = { label: "ATH", u: nonces.chips, v: nonces.own, lengthBytes: hash.lengthBytes };
  return { handle, hash, key: Secret.take(kdfa(hash, salt.reveal(), context)), nonce: nonces.chips };
}

/**
 * Makes an authorization value of bytes, which it wipes: without the zeros at their end, which a
 * chip takes off before it uses one (part 1 section 17.6.4.3). The caller wipes it.
 */
export function authValueFrom(bytes: Buffer): Secret {
  const last = bytes.findLastIndex((byte) => byte !== 0);
  const value = Secret.copy(bytes.subarray(0, last + 1));
  bytes.fill(0);
  return value;
}

/**
 * Gives the same session for the use of an object that has an authorization value: that goes behind
 * the session's key (part 1 sections 19.6.9 and 21.3), and never to the chip. The caller wipes the
 * new key.
 * @param authValue as authValueFrom makes it
 */
export function withAuthValue(session: TpmSession, authValue: Secret): TpmSession {
  return { ...session, key: Secret.take(Buffer.concat([session.key.reveal(), authValue.reveal()])) };
}

/** How a command is allowed to use what it is about. */
interface Authorization {
  readonly session: TpmSession;
  /** This program's next, never given before. */
  readonly nonce: Buffer;
  /** Encrypts the first parameter of the command. */
  readonly hidesCommand?: boolean;
  /** Has the chip encrypt the first parameter of its answer. */
  readonly hidesAnswer?: boolean;
}

/** A command as it goes to the chip, and what reads the answer to it. */
export interface TpmExchange<T> {
  readonly bytes: Buffer;
  /** @throws NightlatchError tpm2/malformed, and what the chip refuses with: tpm2/* */
  readonly finish: (answer: Buffer) => T;
}

/** Sends a command that needs no authorization. */
export function plainExchange<T>(command: TpmCommand<T>): TpmExchange<T> {
  return {
    bytes: formatCommand(command, command.parameters, null),
    finish: (bytes) => {
      const { parameters, handle } = parseAnswer(bytes, command);
      return readAnswer(command, parameters, handle);
    },
  };
}

/** Sends a command with the empty password, for what has no other and carries no secret. */
export function passwordExchange<T>(command: TpmCommand<T>): TpmExchange<T> {
  const authorization = Buffer.concat([u32(RS_PW), sized(NOTHING), u8(CONTINUE), sized(NOTHING)]);
  return {
    bytes: formatCommand(command, command.parameters, authorization),
    finish: (bytes) => {
      const { parameters, handle } = parseAnswer(bytes, command);
      return readAnswer(command, parameters, handle);
    },
  };
}

const NOTHING = Buffer.alloc(0);

/**
 * Sends a command in a session (part 1 sections 19.6.5 and 21.3), which ends with it. The session's
 * key makes the HMAC and the cipher. An answer that was tampered with, or does not come from
 * whoever knows the salt, is refused.
 */
export function sessionExchange<T>(command: TpmCommand<T>, authorization: Authorization): TpmExchange<T> {
  const { session, nonce, hidesCommand = false, hidesAnswer = false } = authorization;
  const attributes = u8((hidesCommand ? DECRYPT : 0) | (hidesAnswer ? ENCRYPT : 0));
  const parameters = hidesCommand
    ? crypt(command.parameters, (data) => cipherOf(session, nonce, session.nonce).update(data))
    : command.parameters;
  const { hash } = session;
  const names = command.handles.map(nameOf);
  const asked = tpmDigest(hash, u32(command.code), ...names, parameters);
  const hmac = tpmHmac(hash, session.key.reveal(), asked, nonce, session.nonce, attributes);
  const area = Buffer.concat([u32(session.handle), sized(nonce), attributes, sized(hmac)]);
  return {
    bytes: formatCommand(command, parameters, area),
    finish: (bytes) => {
      const answer = parseAnswer(bytes, command);
      const chips = verify(answer, command, session, nonce);
      const given = hidesAnswer
        ? crypt(answer.parameters, (data) => decipherOf(session, chips, nonce).update(data))
        : answer.parameters;
      session.nonce = chips;
      try {
        return readAnswer(command, given, answer.handle);
      } finally {
        if (hidesAnswer) given.fill(0);
      }
    },
  };
}

/** Checks the HMAC of an answer. @returns the chip's new nonce */
function verify(
  { authorization, parameters }: Answer,
  command: TpmCommand<unknown>,
  session: TpmSession,
  nonce: Buffer,
): Buffer {
  if (authorization === null) return refuseAnswer("it is not signed by its session");
  const { hash } = session;
  const reader = new TpmReader(authorization, refuseAnswer);
  const chips = Buffer.from(reader.sized(hash.lengthBytes));
  const attributes = reader.take(1);
  const given = reader.sized(hash.lengthBytes);
  reader.end();
  const answered = tpmDigest(hash, u32(0), u32(command.code), parameters);
  const hmac = tpmHmac(hash, session.key.reveal(), answered, chips, nonce, attributes);
  if (given.length !== hmac.length || !timingSafeEqual(given, hmac)) refuseAnswer("its session's HMAC is wrong");
  return chips;
}

/** Encrypts or decrypts what the TPM2B at the beginning of the parameters holds. Makes a copy. */
function crypt(parameters: Buffer, apply: (data: Buffer) => Buffer): Buffer {
  const reader = new TpmReader(parameters, refuseAnswer);
  const data = reader.sized(parameters.length);
  const made = apply(data);
  const whole = Buffer.alloc(parameters.length);
  parameters.copy(whole);
  made.copy(whole, 2);
  made.fill(0);
  return whole;
}

function cipherOf(session: TpmSession, newer: Buffer, older: Buffer) {
  using keys = cipherKeys(session, newer, older);
  const bytes = keys.reveal();
  return createCipheriv("aes-128-cfb", bytes.subarray(0, AES_KEY_BYTES), bytes.subarray(AES_KEY_BYTES));
}

function decipherOf(session: TpmSession, newer: Buffer, older: Buffer) {
  using keys = cipherKeys(session, newer, older);
  const bytes = keys.reveal();
  return createDecipheriv("aes-128-cfb", bytes.subarray(0, AES_KEY_BYTES), bytes.subarray(AES_KEY_BYTES));
}

/** Part 1 section 21.3: the key and the initialisation vector. */
function cipherKeys({ key, hash }: TpmSession, newer: Buffer, older: Buffer): Secret {
  const context = { label: "CFB", u: newer, v: older, lengthBytes: AES_KEY_BYTES + AES_IV_BYTES };
  return Secret.take(kdfa(hash, key.reveal(), context));
}
