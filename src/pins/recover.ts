import { isError, NightlatchError } from "../core/errors.ts";
import type { Secret } from "../core/secret.ts";
import { parseClevisPin, type SssPin } from "../formats/clevis/clevis.ts";
import { combineShares } from "../formats/clevis/sss.ts";
import { decryptJwe, type FlattenedJwe } from "../formats/jose/jwe.ts";
import type { System } from "../system/port.ts";
import { recoverTangKey } from "./tang/exchange.ts";

export interface RecoverLimits {
  readonly deadlineMs: number;
  readonly signal?: AbortSignal;
}

/** A pin of either kind asks at most this many servers at once. */
const SERVER_COUNT = 64;
const DEPTH = 4;
/** More servers than anybody's own binding has begin one after the other. */
const AT_ONCE = 4;

/**
 * One attempt at one token: asks the servers that its pin names, and gives the volume's passphrase. No retries here.
 * The pins `tang` (a latch is one) and `sss` over them; sss asks all of its servers side by side and stops at its threshold.
 * @throws NightlatchError
 *   net/unreachable, net/timeout, net/too-large, pin/busy, pin/unknown-key, pin/bad-reply (not the answer of a tang): see
 *   `isWorthRetrying`; pin/locked, pin/revoked: our server's answer;
 *   pin/wrong-key: the answer does not open the token; pin/unsupported: another pin;
 *   clevis/malformed, jwe/*, jwk/*, tang/malformed: the token itself
 */
export function recoverSecret(
  power: Pick<System, "request" | "random">,
  jwe: FlattenedJwe,
  limits: RecoverLimits,
): Promise<Secret> {
  return recover(power, jwe, limits, { servers: SERVER_COUNT, turn: Promise.resolve() }, 0);
}

/** Failures that may pass without anybody doing anything at the server: a network, a proxy or the server itself is still starting. */
const PASSING: ReadonlySet<string> = new Set([
  "net/unreachable",
  "net/timeout",
  "net/too-large",
  "pin/busy",
  "pin/unknown-key",
  "pin/bad-reply",
]);

/** Whether the same attempt, made later, may end otherwise by itself. */
export function isWorthRetrying(error: unknown): boolean {
  return error instanceof NightlatchError && PASSING.has(error.code);
}

/** What nested pins share. */
interface Budget {
  /** How many servers may still be asked. */
  servers: number;
  /** When the next one may begin. */
  turn: Promise<void>;
}

/**
 * Past AT_ONCE, one exchange of a token in each turn of the event loop: a blinded point takes milliseconds to compute, and a header with thousands
 * of shares must not keep other volumes' keys, and their deadlines, waiting.
 */
function nextTurn(budget: Budget): Promise<void> {
  budget.turn = budget.turn.then(() => new Promise((resolve) => setImmediate(resolve)));
  return budget.turn;
}

async function recover(
  power: Pick<System, "request" | "random">,
  jwe: FlattenedJwe,
  limits: RecoverLimits,
  budget: Budget,
  depth: number,
): Promise<Secret> {
  const pin = parseClevisPin(jwe);
  switch (pin.pin) {
    case "tang": {
      budget.servers--;
      if (budget.servers < 0) tooMuch(`more than ${SERVER_COUNT} servers`);
      if (budget.servers < SERVER_COUNT - AT_ONCE) await nextTurn(budget);
      if (limits.signal?.aborted) throw new NightlatchError("net/timeout", "the servers were given up");
      return open(jwe, await recoverTangKey(power, pin, limits));
    }
    case "sss": {
      if (depth >= DEPTH) tooMuch(`shares within shares more than ${DEPTH} deep`);
      const key = await recoverShared(pin, limits, (child, childLimits) =>
        recover(power, child, childLimits, budget, depth + 1),
      );
      return open(jwe, [key]);
    }
    case "other":
      throw new NightlatchError("pin/unsupported", `the binding needs the pin ${pin.name}, which is not supported`, {
        remedy: "Unlock the volume with its passphrase, or with clevis itself.",
      });
  }
}

/** All children side by side; the rest is given up as soon as enough have answered, or cannot any more. */
async function recoverShared(
  pin: SssPin,
  limits: RecoverLimits,
  recoverChild: (child: FlattenedJwe, limits: RecoverLimits) => Promise<Secret>,
): Promise<Secret> {
  const stop = new AbortController();
  const signal = limits.signal === undefined ? stop.signal : AbortSignal.any([limits.signal, stop.signal]);
  const shares: Secret[] = [];
  const failures: unknown[] = [];
  let settled = false;
  try {
    await new Promise<void>((resolve) => {
      const settleIfDone = () => {
        if (shares.length < pin.threshold && pin.children.length - failures.length >= pin.threshold) return;
        settled = true;
        resolve();
      };
      for (const child of pin.children) {
        recoverChild(child, { deadlineMs: limits.deadlineMs, signal }).then(
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
      shares.map((share) => share.reveal()),
    );
  } finally {
    stop.abort();
    for (const share of shares) share.wipe();
  }
}

/** Retrying is worth it only if the failures that it could mend are enough to reach the threshold. */
function tellingFailure(pin: SssPin, failures: readonly unknown[]): unknown {
  const lasting = failures.filter((error) => !isWorthRetrying(error));
  const passing = failures.filter(isWorthRetrying);
  const canStillSucceed = pin.children.length - lasting.length >= pin.threshold;
  return (canStillSucceed ? passing[0] : lasting[0]) ?? failures[0];
}

/** Wipes the keys. */
function open(jwe: FlattenedJwe, keys: readonly Secret[]): Secret {
  try {
    for (const key of keys) {
      try {
        return decryptJwe(jwe, key.reveal(), "the binding");
      } catch (error) {
        if (!isError(error, "jwe/wrong-key")) throw error;
      }
    }
  } finally {
    for (const key of keys) key.wipe();
  }
  throw new NightlatchError("pin/wrong-key", "the servers' answer does not open the binding", {
    meaning:
      "The server at that address has another key than the one the volume was bound to, or the token was changed.",
    remedy: "Unlock the volume with its passphrase and bind it anew.",
  });
}

function tooMuch(what: string): never {
  throw new NightlatchError("clevis/malformed", `the binding asks for ${what}`);
}
