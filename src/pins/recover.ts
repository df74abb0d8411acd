import { isError, NightlatchError } from "../core/errors.ts";
import type { AttemptLimits } from "../core/limits.ts";
import type { Secret } from "../core/secret.ts";
import { wrongShares } from "../formats/clevis/sss.ts";
import { decryptJwe, type FlattenedJwe } from "../formats/jose/jwe.ts";
import { personNeeded } from "./ask-pin.ts";
import { DEPTH, needsPerson, SERVER_COUNT, weightOf } from "./nested.ts";
import type { BoundPin, Pin, PinPower } from "./pin.ts";
import { PINS, readPin } from "./pins.ts";

/**
 * This many exchanges of a token begin at once; nobody's own binding has more. The others begin one
 * after the other.
 */
const AT_ONCE = 4;

/**
 * Opens one binding: asks the servers that its pin names, and gives the passphrase of its keyslot.
 * It makes one attempt and does not retry. The children of a binding are asked side by side, and
 * the rest is given up once enough have answered. The caller wipes the secret.
 * @throws NightlatchError net/unreachable, net/timeout, net/too-large, pin/busy, pin/unknown-key,
 *   pin/bad-reply (the answer is not a tang's): these may pass, see `isWorthRetrying`
 * @throws NightlatchError pin/locked, pin/revoked: our own server says no
 * @throws NightlatchError pin/wrong-key, pin/wrong-shares: the answer does not open the binding;
 *   pin/unsupported: Nightlatch does not know the pin; pin/needs-person: it opens by a PIN alone,
 *   and the power has nobody to ask
 * @throws NightlatchError clevis/malformed, jwe/*, jwk/*, tang/malformed: the binding itself is
 *   wrong
 */
export function recoverSecret(
  system: PinPower,
  jwe: FlattenedJwe,
  limits: AttemptLimits,
  pins: readonly Pin[] = PINS,
): Promise<Secret> {
  return recover({ system, pins, servers: SERVER_COUNT, turn: Promise.resolve() }, jwe, limits, 0, null);
}

/** What came of one child of a binding. */
export interface ShareOutcome {
  readonly jwe: FlattenedJwe;
  /** Why it gave nothing; null where it gave its share. */
  readonly error: NightlatchError | null;
  /** Of the bindings within it, in their order. */
  readonly shares: readonly ShareOutcome[];
}

/**
 * Opens a binding as `recoverSecret` does, but asks every child to its end, though fewer would do.
 * @param outcomes is filled with what came of the children, in their order, whether the binding
 *   opens or not
 * @throws NightlatchError as recoverSecret
 */
export function recoverEveryShare(
  system: PinPower,
  jwe: FlattenedJwe,
  limits: AttemptLimits,
  outcomes: ShareOutcome[],
): Promise<Secret> {
  return recover({ system, pins: PINS, servers: SERVER_COUNT, turn: Promise.resolve() }, jwe, limits, 0, outcomes);
}

/** What the bindings that are nested in one share. */
interface Attempt {
  readonly system: PinPower;
  readonly pins: readonly Pin[];
  /** How many servers may still be asked. */
  servers: number;
  /** When the next one may begin. */
  turn: Promise<void>;
}

async function recover(
  attempt: Attempt,
  jwe: FlattenedJwe,
  limits: AttemptLimits,
  depth: number,
  outcomes: ShareOutcome[] | null,
): Promise<Secret> {
  const pin = readPin(jwe, attempt.pins);
  if (pin.recover === null) throw unsupported(pin.kind);
  if (attempt.system.askPin === undefined) {
    // No server is asked for a share either that is of no use without the others. Whoever asks for
    // every share wants to know of each.
    const isLeft = outcomes === null && depth === 0 ? needsPerson(pin, attempt.pins) : pin.needsPerson === true;
    if (isLeft) throw personNeeded(pin.describe(String(pin.children.length)));
  }
  if (pin.children.length > 0 && depth >= DEPTH) tooMuch(`shares within shares more than ${DEPTH} deep`);
  const weight = weightOf(pin);
  if (weight > 0) {
    attempt.servers -= weight;
    if (attempt.servers < 0) tooMuch(`more than ${SERVER_COUNT} servers`);
    if (attempt.servers < SERVER_COUNT - AT_ONCE) await nextTurn(attempt);
    if (limits.signal?.aborted) throw new NightlatchError("net/timeout", "the servers were given up");
  }
  const keys = await pin.recover({
    system: attempt.system,
    limits,
    asksAll: outcomes !== null,
    recoverChild: (child, childLimits) => {
      const work = (below: ShareOutcome[] | null) => recover(attempt, child, childLimits, depth + 1, below);
      return outcomes === null ? work(null) : watched(child, outcomes, work);
    },
  });
  return open(jwe, keys, pin);
}

/** Puts down what comes of a child, in the place that it has among its siblings. */
async function watched(
  jwe: FlattenedJwe,
  outcomes: ShareOutcome[],
  work: (below: ShareOutcome[]) => Promise<Secret>,
): Promise<Secret> {
  const shares: ShareOutcome[] = [];
  const place = outcomes.push({ jwe, error: null, shares }) - 1;
  try {
    return await work(shares);
  } catch (error) {
    if (isError(error)) outcomes[place] = { jwe, error, shares };
    throw error;
  }
}

/**
 * Waits for the next turn of the event loop that no other exchange of the token has. A blinded
 * point takes milliseconds to compute, and a header with thousands of shares must not keep other
 * volumes' keys, and their deadlines, waiting.
 */
function nextTurn(attempt: Attempt): Promise<void> {
  attempt.turn = attempt.turn.then(() => new Promise((resolve) => setImmediate(resolve)));
  return attempt.turn;
}

/** Decrypts the binding with the one key that fits, and wipes all keys. */
function open(jwe: FlattenedJwe, keys: readonly Secret[], pin: BoundPin): Secret {
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
  throw wrongKey(pin);
}

/**
 * Each share is authentic by itself: that they do not fit together, or that it is another number of
 * them that does, shows at the end, and not which of the two it is.
 */
function wrongKey({ children, urls, kind }: BoundPin): NightlatchError {
  if (children.length > 0) return wrongShares("the shares that were given do not open the binding together");
  if (urls.length === 0)
    return new NightlatchError("pin/wrong-key", `what the ${kind} gave does not open the binding`, {
      meaning: "The token was changed since it was made.",
      remedy: ANEW,
    });
  return new NightlatchError("pin/wrong-key", "the servers' answer does not open the binding", {
    meaning:
      "The server at that address has another key than the one the volume was bound to, or the token was changed.",
    remedy: ANEW,
  });
}

const ANEW = "Unlock the volume with its passphrase and bind it anew.";

function unsupported(name: string): NightlatchError {
  return new NightlatchError("pin/unsupported", `the binding needs the pin ${name}, which is not supported`, {
    remedy: "Unlock the volume with its passphrase, or with clevis itself.",
  });
}

function tooMuch(what: string): never {
  throw new NightlatchError("clevis/malformed", `the binding asks for ${what}`, {
    meaning: "The token in the volume's header is damaged, or another program wrote it.",
    remedy: "Unlock the volume with its passphrase and bind it anew.",
  });
}
