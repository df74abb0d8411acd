import type { AttemptLimits } from "../../core/limits.ts";
import { Secret } from "../../core/secret.ts";
import { tpm2Header } from "../../formats/clevis/tpm2.ts";
import { formatSealedJwk } from "../../formats/clevis/tpm2-key.ts";
import { encryptJwe, type FlattenedJwe } from "../../formats/jose/jwe.ts";
import { createSealed } from "../../formats/tpm2/commands.ts";
import { SHA256 } from "../../formats/tpm2/hash.ts";
import { type PrimaryKind, sealedTemplate } from "../../formats/tpm2/public-area.ts";
import { type Registers, registerPolicy } from "../../formats/tpm2/registers.ts";
import { Chip, type ChipPower } from "./chip.ts";

const KEY_BYTES = 32;
const IV_BYTES = 12;

/** What a binding is sealed to, beside the chip itself. */
interface SealTo {
  readonly kind: PrimaryKind;
  /** null: whatever was started on the machine opens it. */
  readonly registers: Registers | null;
}

/**
 * Seals a secret to the machine's TPM and to what its registers hold now, as `clevis encrypt tpm2`
 * does; the key goes to the chip encrypted.
 * @throws NightlatchError tpm2/*
 */
export async function sealToChip(
  system: ChipPower,
  { kind, registers }: SealTo,
  secret: Uint8Array,
  limits: AttemptLimits,
): Promise<FlattenedJwe> {
  await using chip = await Chip.open(system, limits);
  const policy = registers === null ? null : registerPolicy(SHA256, registers, await chip.registers(registers));
  const primary = await chip.primary(kind, SHA256);
  const session = await chip.session("hmac", primary, SHA256);
  using _key = session.key;
  using key = Secret.take(system.random(KEY_BYTES));
  using jwk = formatSealedJwk(key.reveal());
  const command = createSealed(primary, sealedTemplate(SHA256, policy), jwk.reveal());
  const sealed = await chip.inSession(command, session, "command").finally(() => command.parameters.fill(0));
  const header = tpm2Header({ primary: { kind, hash: SHA256 }, sealed, registers });
  return encryptJwe(header, key.reveal(), system.random(IV_BYTES), secret);
}
