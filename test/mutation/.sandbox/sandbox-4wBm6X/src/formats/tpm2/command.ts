// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";
import { chipRefusal } from "./response-code.ts";
import { TpmReader, u16, u32 } from "./wire.ts";

/** The longest command or answer that is sent or taken; a TPM's own limit is 4096 bytes. */
export const TPM_MESSAGE_BYTES = 4096;
const HEAD_BYTES = 10;
const [ST_NO_SESSIONS, ST_SESSIONS] = [0x8001, 0x8002];

/** A command of TPM 2.0 part 3, and what its answer means. */
export interface TpmCommand<T> {
  /** As the specification names it, without `TPM2_`. */
  readonly name: string;
  /** TPM_CC */
  readonly code: number;
  readonly handles: readonly TpmEntity[];
  readonly parameters: Buffer;
  /** Whether the answer brings a handle before its parameters. */
  readonly givesHandle: boolean;
  /** Reads the answer's parameters. The handle is 0 where the answer brings none. */
  readonly read: (parameters: TpmReader, handle: number) => T;
}

/** Something in the chip that a command is about. */
export interface TpmEntity {
  readonly handle: number;
  /** Of an object; a hierarchy or a session is named by its handle. */
  readonly name?: Buffer;
}

/** The name of something by which a command's hash names it (part 1 section 16). */
export const nameOf = ({ handle, name }: TpmEntity): Buffer => name ?? u32(handle);

/**
 * Refuses what a chip sent.
 * @throws NightlatchError tpm2/malformed
 */
export function refuseAnswer(message: string): never {
  throw new NightlatchError("tpm2/malformed", `what the machine's TPM answers is not a TPM's: ${message}`, {
    remedy: "Check that TPM2TOOLS_TCTI, where it is set, leads to a TPM 2.0.",
  });
}

/**
 * Writes a command whole.
 * @param authorization the area of its sessions, without its length; null where it has none
 */
export function formatCommand(command: TpmCommand<unknown>, parameters: Buffer, authorization: Buffer | null): Buffer {
  const handles = command.handles.map(({ handle }) => u32(handle));
  const area = authorization === null ? [] : [u32(authorization.length), authorization];
  const body = Buffer.concat([...handles, ...area, parameters]);
  const tag = authorization === null ? ST_NO_SESSIONS : ST_SESSIONS;
  return Buffer.concat([u16(tag), u32(HEAD_BYTES + body.length), u32(command.code), body]);
}

/** What stands in the head of every message: its length in bytes. Null before that has come. */
export function lengthOfMessage(bytes: Buffer): number | null {
  return bytes.length < 6 ? null : bytes.readUInt32BE(2);
}

/** An answer that the chip did not refuse. */
export interface Answer {
  readonly handle: number;
  readonly parameters: Buffer;
  /** The area of its sessions; null where it has none. */
  readonly authorization: Buffer | null;
}

/**
 * Takes an answer apart.
 * @throws NightlatchError tpm2/malformed, and what the chip refuses with: tpm2/*
 */
export function parseAnswer(bytes: Buffer, command: TpmCommand<unknown>): Answer {
  const reader = new TpmReader(bytes, refuseAnswer);
  const tag = reader.u16();
  const lengthBytes = reader.u32();
  const code = reader.u32();
  if (lengthBytes !== bytes.length) refuseAnswer("its length is another than it says");
  if (code !== 0) throw chipRefusal(code, command.name);
  if (tag !== ST_NO_SESSIONS && tag !== ST_SESSIONS) refuseAnswer("its tag is unknown");
  const handle = command.givesHandle ? reader.u32() : 0;
  if (tag === ST_NO_SESSIONS) return { handle, parameters: reader.rest(), authorization: null };
  const parameters = reader.take(reader.u32());
  return { handle, parameters, authorization: reader.rest() };
}

/**
 * Gives what the parameters of an answer say, all of them.
 * @throws NightlatchError tpm2/malformed
 */
export function readAnswer<T>(command: TpmCommand<T>, parameters: Buffer, handle: number): T {
  const reader = new TpmReader(parameters, refuseAnswer);
  const value = command.read(reader, handle);
  reader.end();
  return value;
}
