// @ts-nocheck
import { createHash } from "node:crypto";
import { isError } from "../../core/errors.ts";
import type { AttemptLimits } from "../../core/limits.ts";
import type { Secret } from "../../core/secret.ts";
import { inTurns } from "../../core/turns.ts";
import type { CardAnswer, CardTask, TokenFacts } from "../../formats/pkcs11/exchange.ts";
import { formatPkcs11Uri, type Pkcs11Uri } from "../../formats/pkcs11/uri.ts";
import type { System } from "../../system/port.ts";
import { askCard } from "./driver.ts";
import { findModule, type ModulePower } from "./module.ts";
import { cardFailure, knownWrong } from "./outcome.ts";
import { credentialPin, type PinSourcePower, statedPin, typedPin } from "./pin-source.ts";

/** What using a card takes. */
export type CardPower = ModulePower & PinSourcePower & Pick<System, "run" | "random">;

/**
 * A card is slower than a server: a program starts, a reader wakes, RSA takes a second or two. One
 * that is ended within its login may have counted a try. Who gives up earlier aborts the signal.
 */
const CARD_TIMEOUT_MS = 30_000;

/**
 * Has the card that a URI means do one thing. The PIN comes from the URI, a credential or a person,
 * in that order, and is tried once: a PIN that was wrong is not tried again while this process
 * lives, nor one that nobody typed while the card says that tries were lost. The caller wipes the
 * secrets.
 * @throws NightlatchError card/*, file/*
 */
export async function useCard(
  system: CardPower,
  uri: Pkcs11Uri,
  task: CardTask,
  limits: AttemptLimits,
): Promise<CardAnswer> {
  const module = await findModule(system, uri.modulePath);
  return await inTurn(module, async () => {
    const ask = (pin: Uint8Array | null, attended: boolean) =>
      askCard(
        system,
        { module, token: uri.token, object: uri.object, task, attended, pin },
        atLeast(limits, CARD_TIMEOUT_MS),
      );
    using stated = await statedPin(system, uri);
    if (stated !== null) return await tryPin(system, stated, uri, null, (pin) => ask(pin, false));
    const name = `${module}\0${formatPkcs11Uri({ token: uri.token, object: {} })}`;
    let token = wantPins.get(name);
    if (token === undefined) {
      const first = await ask(null, system.askPin !== undefined);
      if (first.outcome !== "pin-needed") return done(first, uri);
      token = first.token ?? { label: "", serial: "" };
    }
    const answer = await usePin(system, uri, token, ask);
    wantPins.set(name, token);
    return answer;
  });
}

const atLeast = (limits: AttemptLimits, timeoutMs: number): AttemptLimits => ({
  ...limits,
  timeoutMs: Math.max(limits.timeoutMs, timeoutMs),
});

/** Tokens that took a PIN: they need not be asked whether they want one. */
const wantPins = new Map<string, TokenFacts>();

/** A PIN that is kept goes before one that is typed. */
async function usePin(
  system: CardPower,
  uri: Pkcs11Uri,
  token: TokenFacts,
  ask: (pin: Uint8Array | null, attended: boolean) => Promise<CardAnswer>,
): Promise<CardAnswer> {
  using kept = await credentialPin(system, token);
  if (kept !== null) {
    try {
      return await tryPin(system, kept, uri, token, (pin) => ask(pin, false));
    } catch (error) {
      // No try was made: a person may make one.
      if (!isError(error, "card/few-tries") || system.askPin === undefined) throw error;
    }
  }
  using typed = await typedPin(system, token);
  return await tryPin(system, typed, uri, token, (pin) => ask(pin, true));
}

/** PINs that were wrong, hashed with what this process alone knows: a PIN has few digits. */
const refused = new Set<string>();
let processSalt: Buffer | null = null;

async function tryPin(
  system: Pick<System, "random">,
  pin: Secret,
  uri: Pkcs11Uri,
  token: TokenFacts | null,
  ask: (pin: Uint8Array) => Promise<CardAnswer>,
): Promise<CardAnswer> {
  processSalt ??= system.random(32);
  const name = hashOf(processSalt, pin, token === null ? formatPkcs11Uri(uri) : `${token.label}\0${token.serial}`);
  if (refused.has(name)) throw knownWrong(token);
  const answer = await ask(pin.reveal());
  if (answer.outcome === "wrong-pin") refused.add(name);
  return done(answer, uri);
}

function hashOf(salt: Buffer, pin: Secret, card: string): string {
  return createHash("sha256").update(salt).update(`${card}\0`).update(pin.reveal()).digest("hex");
}

function done(answer: CardAnswer, uri: Pkcs11Uri): CardAnswer {
  if (answer.outcome === "done") return answer;
  throw cardFailure(answer, uri);
}

/**
 * One at a time for each driver: two bindings of one card that asked side by side would try a wrong
 * PIN twice.
 */
const turns = new Map<string, ReturnType<typeof inTurns>>();

function inTurn<T>(module: string, work: () => Promise<T>): Promise<T> {
  const turn = turns.get(module) ?? inTurns();
  turns.set(module, turn);
  return turn(work);
}
