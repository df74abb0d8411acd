// @ts-nocheck
import type { AttemptLimits } from "../../core/limits.ts";
import { Secret } from "../../core/secret.ts";
import type { Tpm2Pin } from "../../formats/clevis/tpm2.ts";
import { parseSealedJwk } from "../../formats/clevis/tpm2-key.ts";
import { loadSealed, policyAuthValue, policyRegisters, unsealObject } from "../../formats/tpm2/commands.ts";
import { withAuthValue } from "../../formats/tpm2/session.ts";
import { Chip, type ChipPower } from "./chip.ts";

/**
 * Has the machine's TPM unseal the content key of a binding. The session in which it does is salted
 * to its primary key and encrypts the answer, so that whoever listens on the bus reads nothing.
 * @param authValue what its policy asks for besides; null where that is nothing
 * @throws NightlatchError tpm2/*, clevis/malformed where what was sealed is no key
 */
export async function unsealKey(
  system: ChipPower,
  pin: Tpm2Pin,
  limits: AttemptLimits,
  authValue: Secret | null = null,
): Promise<Secret> {
  await using chip = await Chip.open(system, limits);
  const { hash, opensByPassword, name } = pin.public;
  const primary = await chip.primary(pin.primary.kind, pin.primary.hash);
  const object = chip.hold(await chip.withPassword(loadSealed(primary, pin.sealed, name)));
  const byPolicy = pin.registers !== null || !opensByPassword;
  const session = await chip.session(byPolicy ? "policy" : "hmac", primary, hash);
  using _key = session.key;
  if (pin.registers !== null) await chip.plain(policyRegisters(session, pin.registers));
  if (authValue !== null) await chip.plain(policyAuthValue(session));
  const keyed = authValue === null ? session : withAuthValue(session, authValue);
  using _keyed = keyed.key;
  using data = Secret.take(await chip.inSession(unsealObject(object), keyed, "answer"));
  return parseSealedJwk(data.reveal());
}
