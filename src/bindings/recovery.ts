import { NightlatchError } from "../core/errors.ts";
import { parseClevisToken } from "../formats/clevis/clevis.ts";
import type { FlattenedJwe } from "../formats/jose/jwe.ts";
import type { Prove } from "../luks/change/change.ts";
import type { HeldToken } from "../luks/header/bindings.ts";
import type { PinPower } from "../pins/pin.ts";
import { recoverSecret } from "../pins/recover.ts";

/** How long one server has to answer while a person waits. */
export const SERVER_TIMEOUT_MS = 10_000;

/**
 * Makes the proof that a header change asks for: the servers and cards that a token names are
 * asked, once.
 */
export function proveOverNetwork(system: PinPower, signal?: AbortSignal): Prove {
  return (token) => {
    const limits = { timeoutMs: SERVER_TIMEOUT_MS, ...(signal === undefined ? {} : { signal }) };
    return recoverSecret(system, readClevis(token), limits);
  };
}

/**
 * Reads what a clevis token holds.
 * @throws NightlatchError clevis/malformed, jwe/*
 */
export function readClevis(token: HeldToken): FlattenedJwe {
  const clevis = parseClevisToken(token.json);
  if (clevis === null) throw new NightlatchError("clevis/malformed", `token ${token.id} is of type ${token.type}`);
  return clevis.jwe;
}
