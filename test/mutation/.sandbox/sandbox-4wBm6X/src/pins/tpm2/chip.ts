// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";
import type { AttemptLimits } from "../../core/limits.ts";
import { refuseAnswer, type TpmCommand } from "../../formats/tpm2/command.ts";
import { createPrimary, flushContext, type Primary, readRegisters, startSession } from "../../formats/tpm2/commands.ts";
import type { TpmHash } from "../../formats/tpm2/hash.ts";
import type { PrimaryKind } from "../../formats/tpm2/public-area.ts";
import type { Registers } from "../../formats/tpm2/registers.ts";
import { makeSalt } from "../../formats/tpm2/salt.ts";
import {
  OWN_NONCE_BYTES,
  passwordExchange,
  plainExchange,
  sessionExchange,
  sessionOf,
  type TpmExchange,
  type TpmSession,
} from "../../formats/tpm2/session.ts";
import type { System, TpmConnection } from "../../system/port.ts";

/** What it takes to talk to the machine's TPM. */
export type ChipPower = Pick<System, "openTpm" | "random">;

/**
 * A conversation with the machine's TPM. What it leaves in the chip's memory, which holds three
 * keys, is flushed at its end, however it ends.
 */
export class Chip implements AsyncDisposable {
  readonly #random: ChipPower["random"];
  readonly #connection: TpmConnection;
  readonly #held: number[] = [];

  private constructor(connection: TpmConnection, random: ChipPower["random"]) {
    this.#connection = connection;
    this.#random = random;
  }

  /** @throws NightlatchError tpm2/no-chip, tpm2/silent */
  static async open(system: ChipPower, limits: AttemptLimits): Promise<Chip> {
    return new Chip(await system.openTpm(limits), (lengthBytes) => system.random(lengthBytes));
  }

  /** Sends a command that needs no authorization. @throws NightlatchError tpm2/* */
  plain<T>(command: TpmCommand<T>): Promise<T> {
    return this.#send(plainExchange(command));
  }

  /** Sends a command with the empty password. @throws NightlatchError tpm2/* */
  withPassword<T>(command: TpmCommand<T>): Promise<T> {
    return this.#send(passwordExchange(command));
  }

  /**
   * Sends a command in a session, which ends with it.
   * @param hides which side's first parameter is encrypted on the way
   * @throws NightlatchError tpm2/*
   */
  async inSession<T>(command: TpmCommand<T>, session: TpmSession, hides: "command" | "answer"): Promise<T> {
    const nonce = this.#random(OWN_NONCE_BYTES);
    const side = hides === "command" ? { hidesCommand: true } : { hidesAnswer: true };
    const value = await this.#send(sessionExchange(command, { session, nonce, ...side }));
    this.#held.splice(this.#held.indexOf(session.handle), 1);
    return value;
  }

  /** Has the chip derive its primary key. @throws NightlatchError tpm2/* */
  async primary(kind: PrimaryKind, hash: TpmHash): Promise<Primary> {
    return this.hold(await this.withPassword(createPrimary(kind, hash)));
  }

  /** What has a handle is flushed at the end. */
  hold<T extends { readonly handle: number }>(thing: T): T {
    this.#held.push(thing.handle);
    return thing;
  }

  /**
   * Opens a session that nobody but the chip can read: its salt is encrypted to the primary key.
   * The caller wipes its key.
   * @throws NightlatchError tpm2/*
   */
  async session(kind: "hmac" | "policy", primary: Primary, hash: TpmHash): Promise<TpmSession> {
    const salt = makeSalt(primary.public, this.#random, refuseAnswer);
    using secret = salt.secret;
    const own = this.#random(OWN_NONCE_BYTES).subarray(0, hash.lengthBytes);
    const asked = { hash, nonce: own, encryptedSalt: salt.encrypted };
    const { handle, nonce } = this.hold(await this.plain(startSession(kind, primary, asked)));
    return sessionOf({ handle, hash }, secret, { own, chips: nonce });
  }

  /**
   * Reads registers, all at one moment.
   * @returns their values in the order of their numbers
   * @throws NightlatchError tpm2/unsupported where the chip does not keep that bank, tpm2/*
   */
  async registers(registers: Registers): Promise<readonly Buffer[]> {
    for (let attempt = 0; attempt < 3; attempt++) {
      const values = await this.#registersOnce(registers);
      if (values !== null) return values;
    }
    throw new NightlatchError("tpm2/busy", "the registers of the machine's TPM change while they are read", {
      remedy: "Try again.",
    });
  }

  /** null where one of them was changed meanwhile. */
  async #registersOnce({ bank, numbers }: Registers): Promise<readonly Buffer[] | null> {
    const values = new Map<number, Buffer>();
    let updates: number | null = null;
    while (values.size < numbers.length) {
      const left = numbers.filter((number) => !values.has(number));
      const some = await this.plain(readRegisters({ bank, numbers: left }));
      if (some.values.size === 0) throw noBank(bank);
      for (const [number, value] of some.values) {
        if (!left.includes(number)) refuseAnswer("it tells of a register that was not asked for");
        values.set(number, value);
      }
      if (updates !== null && some.updates !== updates) return null;
      updates = some.updates;
    }
    return numbers.map((number) => values.get(number) ?? refuseAnswer("a register is missing"));
  }

  async #send<T>({ bytes, finish }: TpmExchange<T>): Promise<T> {
    return finish(await this.#connection.transmit(bytes));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      for (const handle of this.#held.reverse()) {
        // What is gone already, or a chip that is silent, leaves nothing to be done.
        await this.plain(flushContext(handle)).catch(() => {});
      }
    } finally {
      await this.#connection[Symbol.asyncDispose]();
    }
  }
}

function noBank({ name }: TpmHash): NightlatchError {
  return new NightlatchError("tpm2/unsupported", `the machine's TPM keeps no registers in the bank ${name}`, {
    meaning: "Nothing is sealed to registers that hold nothing.",
    remedy: "tpm2_getcap pcrs shows the banks that it keeps; name one of them with bank=.",
  });
}
