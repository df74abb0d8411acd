// @ts-nocheck
import { NightlatchError } from "../core/errors.ts";
import type { Secret } from "../core/secret.ts";
import type { System } from "../system/port.ts";
import { delayAfterMs } from "./backoff.ts";
import { pauseOrNetwork } from "./network.ts";
import type { KeySource } from "./source.ts";

/** What it takes to try sources until one gives the key. */
export type RacePower = Pick<System, "sleep" | "random" | "monotonicMs" | "readFile">;

interface RaceLimits {
  /** On the clock of `monotonicMs`. */
  readonly endMs: number;
  /** Aborted when nobody waits for the key any more. */
  readonly signal: AbortSignal;
  /** Told of every failed attempt; `again`: it will be tried again. */
  readonly onFailure: (source: KeySource, error: unknown, again: boolean) => void;
}

/** The key, and the source that gave it. The caller wipes the secret. */
export interface Won {
  readonly secret: Secret;
  readonly source: KeySource;
}

/**
 * Gives the key from whichever source has it first. All are asked side by side, again and again
 * with growing pauses as long as that can help, until the end; the others are given up then. It
 * settles at the end at the latest, whatever a source does.
 * @throws NightlatchError agent/deadline, agent/abandoned, or the most telling of the final errors
 *   where no source is left
 */
export function raceSources(system: RacePower, sources: readonly KeySource[], limits: RaceLimits): Promise<Won> {
  return new Promise((resolve, reject) => {
    const stop = new AbortController();
    const { signal } = stop;
    const onGone = () => stop.abort();
    limits.signal.addEventListener("abort", onGone, { once: true });
    if (limits.signal.aborted) onGone();
    const final: unknown[] = [];
    let latest: unknown;
    let settled = false;
    const settle = (outcome: () => void) => {
      if (settled) return;
      settled = true;
      limits.signal.removeEventListener("abort", onGone);
      stop.abort();
      outcome();
    };
    for (const source of sources) {
      const onFailure = (error: unknown, again: boolean) => {
        latest = error;
        limits.onFailure(source, error, again);
      };
      pursue(system, source, { endMs: limits.endMs, signal }, onFailure).then(
        (secret) => {
          if (settled) secret?.wipe();
          else if (secret !== null) settle(() => resolve({ secret, source }));
        },
        (error: unknown) => {
          final.push(error);
          if (final.length === sources.length) settle(() => reject(mostTelling(final)));
        },
      );
    }
    void system.sleep(Math.max(0, limits.endMs - system.monotonicMs()), signal).then(() => {
      settle(() => reject(limits.signal.aborted ? abandoned() : tooLate(latest)));
    });
  });
}

/** Asks one source until it gives the key; null where no time is left, or nobody waits. */
async function pursue(
  system: RacePower,
  source: KeySource,
  limits: { readonly endMs: number; readonly signal: AbortSignal },
  onFailure: (error: unknown, again: boolean) => void,
): Promise<Secret | null> {
  for (let attempt = 0; ; ) {
    const leftMs = Math.ceil(limits.endMs - system.monotonicMs());
    if (leftMs <= 0 || limits.signal.aborted) return null;
    try {
      return await source.attempt({ timeoutMs: leftMs, signal: limits.signal });
    } catch (error) {
      if (limits.signal.aborted) return null;
      const again = source.isWorthRetrying(error);
      onFailure(error, again);
      if (!again) throw error;
    }
    const pauseMs = delayAfterMs(attempt, system.random(4).readUInt32LE() / 2 ** 32);
    attempt = (await pauseOrNetwork(system, pauseMs, limits.signal)) ? 0 : attempt + 1;
  }
}

function abandoned(): NightlatchError {
  return new NightlatchError("agent/abandoned", "nobody waits for the key any more");
}

function tooLate(latest: unknown): NightlatchError {
  const last = latest instanceof NightlatchError ? `; the last failure: ${latest.message}` : "";
  return new NightlatchError("agent/deadline", `no key came in time${last}`, {
    remedy: "Check that the key server runs and can be reached: nightlatch check",
  });
}

/** What a person has to act upon comes first. */
const RANK = [
  "pin/revoked",
  "pin/locked",
  "agent/command-refused",
  "pin/unknown-key",
  "pin/wrong-key",
  "pin/wrong-shares",
];

function mostTelling(errors: readonly unknown[]): unknown {
  const rank = (error: unknown) => {
    const at = error instanceof NightlatchError ? RANK.indexOf(error.code) : -1;
    return at < 0 ? RANK.length : at;
  };
  return errors.toSorted((one, other) => rank(one) - rank(other))[0];
}
