import { isError, NightlatchError } from "../../core/errors.ts";
import type { AttemptLimits } from "../../core/limits.ts";
import type { Secret } from "../../core/secret.ts";
import { inTurns } from "../../core/turns.ts";
import type { Tpm2Pin } from "../../formats/clevis/tpm2.ts";
import { type Attempts, readAttempts } from "../../formats/tpm2/attempts.ts";
import { loadSealed } from "../../formats/tpm2/commands.ts";
import { SHA256, tpmDigest } from "../../formats/tpm2/hash.ts";
import { LOCKOUT_REMEDY } from "../../formats/tpm2/response-code.ts";
import { type AskPin, type PinHolder, personNeeded } from "../ask-pin.ts";
import { authValueOf } from "./auth-value.ts";
import { Chip, type ChipPower } from "./chip.ts";
import { isSealedState } from "./state.ts";
import { describeTarget } from "./target.ts";
import { unsealKey } from "./unseal.ts";

/** A binding whose chip wants a PIN. */
type PinnedTpm2 = Tpm2Pin & { readonly salt: Buffer };

/** What it takes to open one. */
type AttendedPower = ChipPower & { readonly askPin?: AskPin };

/** One after the other: two that tried a wrong PIN side by side would cost two attempts. */
const inTurn = inTurns();

/** Says whose PIN it is. Each binding has its own, which its salt tells from the others. */
export function holderOf({ registers, salt }: Pick<PinnedTpm2, "registers" | "salt">): PinHolder {
  return { name: `the machine's TPM (${describeTarget(registers, false)})`, id: `tpm2 ${salt.toString("base64url")}` };
}

/**
 * Has the machine's TPM unseal the content key by a PIN that a person types, once. Before anybody
 * is asked it is seen that the PIN could open it at all, and that a wrong one would not lock the
 * chip.
 * @throws NightlatchError pin/needs-person, tpm2/wrong-pin, tpm2/few-tries, tpm2/lockout, tpm2/*,
 *   clevis/malformed where what was sealed is no key
 */
export function unsealByPerson(system: AttendedPower, pin: PinnedTpm2, limits: AttemptLimits): Promise<Secret> {
  return inTurn(async () => {
    const attempts = await lookBefore(system, pin, limits);
    using typed = await ask(system.askPin, holderOf(pin));
    using value = await authValueOf(typed, pin.salt);
    const name = tpmDigest(SHA256, value.reveal()).toString("hex");
    if (refused.has(name)) throw wrongPin("was wrong before, and is not tried again", attempts);
    try {
      return await unsealKey(system, pin, limits, value);
    } catch (error) {
      if (!isError(error, "tpm2/wrong-pin")) throw error;
      refused.add(name);
      throw wrongPin("is wrong", { ...attempts, failed: attempts.failed + 1 });
    }
  });
}

async function ask(askPin: AskPin | undefined, holder: PinHolder): Promise<Secret> {
  if (askPin === undefined) throw personNeeded(holder.name);
  try {
    return await askPin(holder);
  } catch (error) {
    throw isError(error, "usage/no-terminal") ? personNeeded(holder.name) : error;
  }
}

/** Asks the chip all that costs no attempt. */
async function lookBefore(system: ChipPower, pin: PinnedTpm2, limits: AttemptLimits): Promise<Attempts> {
  await using chip = await Chip.open(system, limits);
  const attempts = await chip.plain(readAttempts());
  const { failed, limit } = attempts;
  if (failed >= limit) {
    throw new NightlatchError("tpm2/lockout", `the machine's TPM is locked: it ${inWords(attempts)}`, {
      meaning: UNTRIED,
      remedy: LOCKOUT_REMEDY,
    });
  }
  if (limit > 1 && failed + 1 >= limit) {
    throw new NightlatchError(
      "tpm2/few-tries",
      `the machine's TPM locks at the next wrong PIN: it ${inWords(attempts)}`,
      {
        meaning: UNTRIED,
        remedy: LOCKOUT_REMEDY,
      },
    );
  }
  const { registers, public: sealed } = pin;
  if (registers !== null && !isSealedState({ registers, ...sealed, withPin: true }, await chip.registers(registers))) {
    throw new NightlatchError(
      "tpm2/wrong-state",
      "the machine was started in another state than the key was sealed to, by which its TPM gives nothing",
      {
        meaning: UNTRIED,
        remedy:
          "After an update that you made: nightlatch bind DEV tpm2 pcr=LIST pin --replace --slot N. " +
          "Else find out what was changed.",
      },
    );
  }
  const primary = await chip.primary(pin.primary.kind, pin.primary.hash);
  chip.hold(await chip.withPassword(loadSealed(primary, pin.sealed, sealed.name)));
  return attempts;
}

const UNTRIED = "No PIN was asked for, and none was tried. The passphrase opens the volume.";

/** What was made of PINs that were wrong, hashed: each is slow to guess, by its own salt. */
const refused = new Set<string>();

function wrongPin(how: string, attempts: Attempts): NightlatchError {
  return new NightlatchError("tpm2/wrong-pin", `the PIN for the machine's TPM ${how}; it ${inWords(attempts)}`, {
    meaning: "It is not tried again by itself. The passphrase opens the volume.",
    remedy:
      "Give the right PIN. If it is forgotten, bind anew by the passphrase: nightlatch bind DEV tpm2 pcr=LIST pin --replace --slot N",
  });
}

function inWords({ failed, limit, intervalSeconds }: Attempts): string {
  return `counts ${failed} of ${limit} wrong attempts, and takes one off after ${intervalSeconds} s`;
}
