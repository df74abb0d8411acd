// @ts-nocheck
import { NightlatchError } from "../core/errors.ts";
import type { Secret } from "../core/secret.ts";
import { inTurns } from "../core/turns.ts";
import { opensSlot } from "../luks/cryptsetup/keyslots.ts";
import type { PinPower } from "../pins/pin.ts";
import type { ShareOutcome } from "../pins/recover.ts";
import type { Binding } from "./binding.ts";
import { recoverOverNetwork } from "./recovery.ts";

/** What came of an attempt at one binding: a secret that opens a keyslot, or an error. */
export type Attempt = Opens | { readonly binding: Binding; readonly secret: null; readonly error: NightlatchError };

/** A binding that opened a keyslot. The caller wipes the secret. */
export interface Opens {
  readonly binding: Binding;
  readonly secret: Secret;
  readonly keyslot: number;
}

/**
 * Keyslots are opened one at a time: Argon2 may take a gigabyte for each, and volumes are looked at
 * side by side.
 */
const inTurn = inTurns();

/**
 * Asks a binding's servers, and opens one of its keyslots with the answer. No mapping is made. A
 * NightlatchError is given back in the attempt and not thrown.
 * @param outcomes where it is given, every share is asked, and it is filled with what came of them
 */
export async function tryBinding(
  system: PinPower,
  device: string,
  binding: Binding,
  signal: AbortSignal,
  outcomes?: ShareOutcome[],
): Promise<Attempt> {
  try {
    const secret = await recoverOverNetwork(system, binding.token, signal, outcomes);
    for (const keyslot of binding.token.keyslots) {
      if (await inTurn(() => opensSlot(system, { device }, keyslot, secret))) return { binding, secret, keyslot };
    }
    secret.wipe();
    throw new NightlatchError("luks/not-proved", "what the server released opens no keyslot of this volume", {
      remedy: `See what is wrong with it, and how to bind it anew: nightlatch check, nightlatch status ${device}`,
    });
  } catch (error) {
    if (error instanceof NightlatchError) return { binding, secret: null, error };
    throw error;
  }
}
