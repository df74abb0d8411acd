// @ts-nocheck
import type { AttemptLimits } from "../../core/limits.ts";
import { Secret } from "../../core/secret.ts";
import { tpm2Header } from "../../formats/clevis/tpm2.ts";
import { formatSealedJwk } from "../../formats/clevis/tpm2-key.ts";
import { encryptJwe, type FlattenedJwe } from "../../formats/jose/jwe.ts";
import { createSealed } from "../../formats/tpm2/commands.ts";
import { SHA256 } from "../../formats/tpm2/hash.ts";
import { type PrimaryKind, sealedTemplate } from "../../formats/tpm2/public-area.ts";
import { pinPolicy, type Registers, registerPolicy } from "../../formats/tpm2/registers.ts";
import { authValueOf } from "./auth-value.ts";
import { Chip, type ChipPower } from "./chip.ts";

const KEY_BYTES = 32;
const IV_BYTES = 12;

/** What a binding is sealed to, beside the chip itself. */
interface SealTo {
  readonly kind: PrimaryKind;
  /** null: whatever was started on the machine opens it. */
  readonly registers: Registers | null;
  /** What a person has to type besides; it stays the caller's. */
  readonly pin?: NewPin;
}

/** A PIN, and the salt of the binding that is to want it. */
export interface NewPin {
  readonly value: Secret;
  readonly salt: Buffer;
}

/**
 * Seals a secret to the machine's TPM and to what its registers hold now, as `clevis encrypt tpm2`
 * does; the key goes to the chip encrypted. With a PIN it is our own pin tpm2-pin, whose wrong PINs
 * the chip counts.
 * @throws NightlatchError tpm2/*
 */
export async function sealToChip(
  system: ChipPower,
  { kind, registers, pin }: SealTo,
  secret: Uint8Array,
  limits: AttemptLimits,
): Promise<FlattenedJwe> {
  // Before the chip is spoken to, which has a deadline: it is slow.
  using value = pin === undefined ? Secret.take(Buffer.alloc(0)) : await authValueOf(pin.value, pin.salt);
  await using chip = await Chip.open(system, limits);
  const measured = registers === null ? null : registerPolicy(SHA256, registers, await chip.registers(registers));
  const policy = pin === undefined ? measured : pinPolicy(SHA256, measured);
  const primary = await chip.primary(kind, SHA256);
  const session = await chip.session("hmac", primary, SHA256);
  using _key = session.key;
  using key = Secret.take(system.random(KEY_BYTES));
  using jwk = formatSealedJwk(key.reveal());
  const template = sealedTemplate(SHA256, policy, pin !== undefined);
  const command = createSealed(primary, template, jwk.reveal(), value.reveal());
  const sealed = await chip.inSession(command, session, "command").finally(() => command.parameters.fill(0));
  const salt = pin?.salt ?? null;
  const header = tpm2Header({ primary: { kind, hash: SHA256 }, sealed, registers, salt });
  return encryptJwe(header, key.reveal(), system.random(IV_BYTES), secret);
}
