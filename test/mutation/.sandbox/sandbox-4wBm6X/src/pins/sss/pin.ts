// @ts-nocheck
import type { Secret } from "../../core/secret.ts";
import { combineShares, parseSssPin, type SssPin } from "../../formats/clevis/sss.ts";
import type { Pin, RecoverAttempt } from "../pin.ts";
import { isWorthRetrying } from "../retry.ts";

/** The pin sss: shares in bindings of their own, of which as many as the threshold open it. */
export const sssPin: Pin = {
  name: "sss",
  read(clevis) {
    const pin = parseSssPin(clevis);
    return {
      kind: "sss",
      urls: [],
      children: pin.children,
      threshold: pin.threshold,
      early: { pins: ["sss"], network: false },
      describe: (children) => `${pin.threshold} of ${children}`,
      recover: async (attempt) => [await recoverShared(pin, attempt)],
    };
  },
};

/**
 * Opens all children side by side. The rest is given up as soon as enough have answered, or enough
 * cannot any more, unless all are to be asked. Shares that are not used are wiped.
 */
async function recoverShared(pin: SssPin, { limits, asksAll, recoverChild }: RecoverAttempt): Promise<Secret> {
  const stop = new AbortController();
  const signal = limits.signal === undefined ? stop.signal : AbortSignal.any([limits.signal, stop.signal]);
  const shares: Secret[] = [];
  const failures: unknown[] = [];
  let settled = false;
  try {
    await new Promise<void>((resolve) => {
      const settleIfDone = () => {
        const pending = pin.children.length - failures.length - shares.length;
        const isOpen = shares.length < pin.threshold && shares.length + pending >= pin.threshold;
        if (pending > 0 && (isOpen || asksAll)) return;
        settled = true;
        resolve();
      };
      for (const child of pin.children) {
        recoverChild(child, { timeoutMs: limits.timeoutMs, signal }).then(
          (share) => {
            if (settled) return share.wipe();
            shares.push(share);
            settleIfDone();
          },
          (error: unknown) => {
            failures.push(error);
            if (!settled) settleIfDone();
          },
        );
      }
    });
    if (shares.length < pin.threshold) throw tellingFailure(pin, failures);
    return combineShares(
      pin.prime,
      shares.slice(0, pin.threshold).map((share) => share.reveal()),
    );
  } finally {
    stop.abort();
    for (const share of shares) share.wipe();
  }
}

/**
 * Chooses the failure to tell of. One that a retry could mend is told only if enough of them could
 * be mended to reach the threshold.
 */
function tellingFailure(pin: SssPin, failures: readonly unknown[]): unknown {
  const lasting = failures.filter((error) => !isWorthRetrying(error));
  const passing = failures.filter(isWorthRetrying);
  const canStillSucceed = pin.children.length - lasting.length >= pin.threshold;
  return (canStillSucceed ? passing[0] : lasting[0]) ?? failures[0];
}
