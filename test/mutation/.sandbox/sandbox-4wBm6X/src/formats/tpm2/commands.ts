// @ts-nocheck
import { refuseAnswer, type TpmCommand, type TpmEntity } from "./command.ts";
import type { TpmHash } from "./hash.ts";
import {
  type PrimaryKind,
  type PrimaryPublic,
  parsePrimaryPublic,
  primaryTemplate,
  SESSION_CIPHER,
} from "./public-area.ts";
import { CC_POLICY_AUTH_VALUE, CC_POLICY_PCR, formatSelection, type Registers } from "./registers.ts";
import { sized, type TpmReader, u8, u16, u32 } from "./wire.ts";

const [RH_OWNER, RH_NULL] = [0x40000001, 0x40000007];
const AREA_BYTES = 1024;
const PRIVATE_BYTES = 2048;
/** A TPM seals no more (MAX_SYM_DATA). */
const SEALED_BYTES = 128;

/** A primary key in the chip's memory. */
export interface Primary extends TpmEntity {
  readonly name: Buffer;
  readonly public: PrimaryPublic;
}

/** Has the chip derive a primary key from its owner hierarchy's seed (part 3 section 24.1). */
export function createPrimary(kind: PrimaryKind, hash: TpmHash): TpmCommand<Primary> {
  const template = primaryTemplate(kind, hash);
  const noSecret = sized(Buffer.concat([sized(NOTHING), sized(NOTHING)]));
  return {
    name: "CreatePrimary",
    code: 0x131,
    handles: [{ handle: RH_OWNER }],
    parameters: Buffer.concat([noSecret, sized(template), sized(NOTHING), u32(0)]),
    givesHandle: true,
    read: (reader, handle) => {
      const area = reader.sized(AREA_BYTES);
      // creationData, creationHash, creationTicket, and the name, which is computed here instead
      reader.rest();
      const key = parsePrimaryPublic(area, template, refuseAnswer);
      return { handle, name: key.name, public: key };
    },
  };
}

const NOTHING = Buffer.alloc(0);

/** The parts of a sealed object, as clevis keeps them. */
export interface SealedObject {
  /** TPM2B_PUBLIC */
  readonly public: Buffer;
  /** TPM2B_PRIVATE, encrypted by the primary key */
  readonly private: Buffer;
}

/**
 * Seals data under a primary key (part 3 section 12.1). The first parameter holds the data: it
 * is to be sent in a session that hides the command.
 * @param authValue the object's own; empty where it has none
 */
export function createSealed(
  primary: TpmEntity,
  template: Buffer,
  data: Uint8Array,
  authValue: Uint8Array = NOTHING,
): TpmCommand<SealedObject> {
  const sensitive = sized(Buffer.concat([sized(authValue), sized(data)]));
  return {
    name: "Create",
    code: 0x153,
    handles: [primary],
    parameters: Buffer.concat([sensitive, sized(template), sized(NOTHING), u32(0)]),
    givesHandle: false,
    read: (reader) => {
      const made = { private: sized(reader.sized(PRIVATE_BYTES)), public: sized(reader.sized(AREA_BYTES)) };
      reader.rest();
      return made;
    },
  };
}

/** Loads a sealed object into the chip's memory (part 3 section 12.2). */
export function loadSealed(primary: TpmEntity, sealed: SealedObject, name: Buffer): TpmCommand<TpmEntity> {
  return {
    name: "Load",
    code: 0x157,
    handles: [primary],
    parameters: Buffer.concat([sealed.private, sealed.public]),
    givesHandle: true,
    read: (reader, handle) => {
      reader.sized(name.length);
      return { handle, name };
    },
  };
}

/** Unseals (part 3 section 12.7): to be sent in a session that hides the answer. */
export function unsealObject(object: TpmEntity): TpmCommand<Buffer> {
  return {
    name: "Unseal",
    code: 0x15e,
    handles: [object],
    parameters: NOTHING,
    givesHandle: false,
    read: (reader) => Buffer.from(reader.sized(SEALED_BYTES)),
  };
}

/** The kinds of session: TPM_SE, part 2 section 6.11. */
const SESSION_KINDS = { hmac: 0x00, policy: 0x01 } as const;

/** A session as the chip opens it. */
interface OpenedSession {
  readonly handle: number;
  readonly nonce: Buffer;
}

/**
 * Opens a session that is salted to a primary key and can encrypt parameters (part 3 section 11.1).
 * @param nonce this program's, never given before
 */
export function startSession(
  kind: keyof typeof SESSION_KINDS,
  primary: TpmEntity,
  { hash, nonce, encryptedSalt }: { readonly hash: TpmHash; readonly nonce: Buffer; readonly encryptedSalt: Buffer },
): TpmCommand<OpenedSession> {
  const head = [sized(nonce), sized(encryptedSalt), u8(SESSION_KINDS[kind])];
  return {
    name: "StartAuthSession",
    code: 0x176,
    handles: [primary, { handle: RH_NULL }],
    parameters: Buffer.concat([...head, SESSION_CIPHER, u16(hash.id)]),
    givesHandle: true,
    read: (reader, handle) => ({ handle, nonce: Buffer.from(reader.sized(hash.lengthBytes)) }),
  };
}

/** Adds what the registers hold now to a session's policy (part 3 section 23.7). */
export function policyRegisters(session: TpmEntity, registers: Registers): TpmCommand<void> {
  return {
    name: "PolicyPCR",
    code: CC_POLICY_PCR,
    handles: [session],
    parameters: Buffer.concat([sized(NOTHING), formatSelection(registers)]),
    givesHandle: false,
    read: () => {},
  };
}

/**
 * Adds to a session's policy that the object's authorization value goes into its HMAC (part 3
 * section 23.12).
 */
export function policyAuthValue(session: TpmEntity): TpmCommand<void> {
  return {
    name: "PolicyAuthValue",
    code: CC_POLICY_AUTH_VALUE,
    handles: [session],
    parameters: NOTHING,
    givesHandle: false,
    read: () => {},
  };
}

/** What one answer tells of registers. A chip gives at most eight at once. */
interface RegisterValues {
  /** Counts every change of a register. */
  readonly updates: number;
  /** Those that the answer tells, by number. */
  readonly values: ReadonlyMap<number, Buffer>;
}

/** Reads registers (part 3 section 22.4). A bank that the chip does not keep has no values. */
export function readRegisters(registers: Registers): TpmCommand<RegisterValues> {
  return {
    name: "PCR_Read",
    code: 0x17e,
    handles: [],
    parameters: formatSelection(registers),
    givesHandle: false,
    read: (reader) => {
      const updates = reader.u32();
      const numbers = readSelection(reader, registers.bank);
      const count = reader.u32();
      if (count !== numbers.length || count > 8) refuseAnswer("it gives another number of registers than it says");
      const values = numbers.map((number) => {
        const value = Buffer.from(reader.sized(registers.bank.lengthBytes));
        if (value.length !== registers.bank.lengthBytes) refuseAnswer("a register has another length than its bank");
        return [number, value] as const;
      });
      return { updates, values: new Map(values) };
    },
  };
}

function readSelection(reader: TpmReader, bank: TpmHash): readonly number[] {
  const count = reader.u32();
  if (count > 16) refuseAnswer("it names more banks than there are");
  const numbers: number[] = [];
  for (let at = 0; at < count; at++) {
    const isAsked = reader.u16() === bank.id;
    const bitmap = reader.take(reader.u8());
    const named = [...bitmap].flatMap((byte, index) =>
      [0, 1, 2, 3, 4, 5, 6, 7].filter((bit) => (byte & (1 << bit)) !== 0).map((bit) => index * 8 + bit),
    );
    if (named.length > 0 && !isAsked) refuseAnswer("it tells of a bank that was not asked for");
    if (new Set([...numbers, ...named]).size !== numbers.length + named.length)
      refuseAnswer("it tells a register twice");
    numbers.push(...named);
  }
  return numbers;
}

/** Takes an object or a session out of the chip's memory (part 3 section 28.4). */
export function flushContext(handle: number): TpmCommand<void> {
  return {
    name: "FlushContext",
    code: 0x165,
    handles: [],
    parameters: u32(handle),
    givesHandle: false,
    read: () => {},
  };
}
