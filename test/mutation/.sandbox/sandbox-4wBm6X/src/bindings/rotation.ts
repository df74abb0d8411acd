// @ts-nocheck
import { isError } from "../core/errors.ts";
import { parseClevisPin } from "../formats/clevis/clevis.ts";
import { parseTangPin } from "../formats/clevis/tang.ts";
import { hasThumbprint, thumbprintOf } from "../formats/jose/jwk.ts";
import { fetchAdvertisement } from "../pins/tang/tang.ts";
import type { System } from "../system/port.ts";
import type { Binding } from "./binding.ts";
import { readClevis, SERVER_TIMEOUT_MS } from "./recovery.ts";
import { sharesOf } from "./shares.ts";

/** A tang or a latch that no longer advertises keys which a binding holds: they were rotated. */
export interface Rotated {
  readonly url: string;
  /** Thumbprints (S256) of those: the exchange key, and keys that vouch for the next one. */
  readonly keys: readonly string[];
}

/**
 * Finds the tangs and latches of a binding, its shares' included, whose keys were rotated since, as
 * `clevis luks report` does. They still release by the old keys, until somebody removes these. It
 * is not told of a server that does not answer.
 */
export async function findRotated(
  system: Pick<System, "request">,
  binding: Binding,
  signal: AbortSignal,
): Promise<readonly Rotated[]> {
  const asked = askersOf(binding)
    .filter(({ kind }) => kind === "tang" || kind === "latch")
    .map((leaf) => rotatedAt(system, leaf, signal));
  return (await Promise.all(asked)).filter((rotated) => rotated !== null);
}

/** The bindings that ask somebody themselves: a binding, or all that is nested in it. */
export function askersOf(binding: Binding): readonly Binding[] {
  return sharesOf(binding)?.children.flatMap(askersOf) ?? [binding];
}

async function rotatedAt(
  system: Pick<System, "request">,
  { token }: Binding,
  signal: AbortSignal,
): Promise<Rotated | null> {
  const { url, exchangeKey, signingKeys } = parseTangPin(parseClevisPin(readClevis(token)));
  try {
    const { exchangeKeys, signingKeys: now } = await fetchAdvertisement(system, url, {
      timeoutMs: SERVER_TIMEOUT_MS,
      signal,
    });
    const held = [exchangeKey, ...signingKeys].map((key) => thumbprintOf(key));
    const keys = held.filter((name) => ![...exchangeKeys, ...now].some((key) => hasThumbprint(key, name)));
    return keys.length === 0 ? null : { url, keys };
  } catch (error) {
    if (isError(error)) return null; // that it does not answer, or what it answers, is told elsewhere
    throw error;
  }
}
