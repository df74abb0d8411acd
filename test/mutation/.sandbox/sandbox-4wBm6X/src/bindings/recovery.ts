// @ts-nocheck
import { NightlatchError } from "../core/errors.ts";
import type { Secret } from "../core/secret.ts";
import { parseClevisToken } from "../formats/clevis/clevis.ts";
import type { FlattenedJwe } from "../formats/jose/jwe.ts";
import type { Prove } from "../luks/change/change.ts";
import type { HeldToken } from "../luks/header/bindings.ts";
import { wantsPerson } from "../pins/ask-pin.ts";
import type { PinPower } from "../pins/pin.ts";
import { recoverEveryShare, recoverSecret, type ShareOutcome } from "../pins/recover.ts";
import { isWorthRetrying } from "../pins/retry.ts";

/** How long one server has to answer while a person waits. */
export const SERVER_TIMEOUT_MS = 10_000;

/**
 * Makes the proof that a header change asks for: the servers or the chip that a token names are
 * asked, once.
 */
export function proveOverNetwork(system: PinPower, signal: AbortSignal): Prove {
  return (token) => recoverOverNetwork(system, token, signal);
}

/**
 * Asks the servers that a token names for what it seals, once. The caller wipes the secret.
 * @param outcomes where it is given, every share is asked, and it is filled with what came of them
 * @throws NightlatchError as recoverSecret, clevis/malformed
 */
export async function recoverOverNetwork(
  system: PinPower,
  token: HeldToken,
  signal: AbortSignal,
  outcomes?: ShareOutcome[],
): Promise<Secret> {
  const limits = { timeoutMs: SERVER_TIMEOUT_MS, signal };
  const jwe = readClevis(token);
  return outcomes === undefined ? recoverSecret(system, jwe, limits) : recoverEveryShare(system, jwe, limits, outcomes);
}

/**
 * Makes a proof that asks every share of a token too, so that none is found out to be of no use
 * when it is needed.
 * @param unproved is filled with the shares, nested ones included, that could not be asked now,
 *   though the token opens without them: docs/decisions/101-shares-and-rotations.md. One of them
 *   may want a PIN, with nobody there to type it. The proof throws where a share answers and is of
 *   no use.
 */
export function proveEveryShare(system: PinPower, signal: AbortSignal, unproved: ShareOutcome[]): Prove {
  return async (token) => {
    const outcomes: ShareOutcome[] = [];
    const secret = await recoverOverNetwork(system, token, signal, outcomes);
    const failed = flatten(outcomes).filter(({ error }) => error !== null);
    const lasting = failed.find(({ error }) => !isWorthRetrying(error) && !wantsPerson(error));
    if (lasting !== undefined) {
      secret.wipe();
      throw lasting.error;
    }
    unproved.splice(0, unproved.length, ...failed.filter(({ shares }) => shares.length === 0));
    return secret;
  };
}

const flatten = (outcomes: readonly ShareOutcome[]): readonly ShareOutcome[] =>
  outcomes.flatMap((outcome) => [outcome, ...flatten(outcome.shares)]);

/**
 * Reads what a clevis token holds.
 * @throws NightlatchError clevis/malformed, jwe/*
 */
export function readClevis(token: HeldToken): FlattenedJwe {
  const clevis = parseClevisToken(token.json);
  if (clevis === null) throw new NightlatchError("clevis/malformed", `token ${token.id} is of type ${token.type}`);
  return clevis.jwe;
}
