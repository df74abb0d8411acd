// @ts-nocheck
import { NightlatchError } from "../core/errors.ts";
import type { Secret } from "../core/secret.ts";

/** Whose PIN a person is asked for. */
export interface PinHolder {
  /** For a person, as in `the token "ops"`. */
  readonly name: string;
  /** Tells it from all others: a person is asked once for each. */
  readonly id: string;
}

/**
 * Asks a person for the PIN of a card or of a chip's binding. The caller wipes it.
 * @throws NightlatchError usage/no-terminal where nobody is there, usage/cancelled
 */
export type AskPin = (holder: PinHolder) => Promise<Secret>;

/** The error for a binding that opens by a PIN alone, where nobody is there to type one. */
export function personNeeded(what: string): NightlatchError {
  return new NightlatchError(
    "pin/needs-person",
    `${what} opens by a PIN that a person types, and nobody is asked here`,
    {
      meaning: "Nothing was tried, so that no attempt is lost. The passphrase opens the volume.",
      remedy:
        "At a terminal nightlatch unlock asks for the PIN. To open with nobody there, bind the volume to a server too.",
    },
  );
}

/** Whether an error says that nothing was tried, because a person would have to type a PIN. */
export function wantsPerson(error: unknown): boolean {
  return error instanceof NightlatchError && (error.code === "card/pin-needed" || error.code === "pin/needs-person");
}
