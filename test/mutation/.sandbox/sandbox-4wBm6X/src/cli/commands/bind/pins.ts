// @ts-nocheck
import type { Binding } from "../../../bindings/binding.ts";
import { sharesOf } from "../../../bindings/shares.ts";
import { latchEntry } from "./latch.ts";
import type { BindInput } from "./options.ts";
import { pkcs11Entry } from "./pkcs11.ts";
import { type BindPin, type BindPlan, wordsByMembers } from "./plan.ts";
import type { PinRequest } from "./request.ts";
import { sssPlan } from "./sss.ts";
import { tangEntry } from "./tang.ts";
import { tpm2Entry } from "./tpm2.ts";

/** The pins that `bind` binds to, in the order in which they are told. */
export const BIND_PINS: readonly BindPin[] = [latchEntry, tangEntry, tpm2Entry, pkcs11Entry];

/**
 * Makes the plan of a request.
 * @throws NightlatchError what the pin says
 */
export async function planOf(input: BindInput, request: PinRequest): Promise<BindPlan> {
  if ("children" in request) {
    const children: BindPlan[] = [];
    for (const child of request.children) children.push(await planOf(input, child));
    return sssPlan(input.system, request.threshold, children);
  }
  const pin = BIND_PINS.find(({ name }) => name === request.name);
  if (pin === undefined) throw new Error("a request names a pin of the list");
  return pin.plan(input, request.words);
}

/**
 * Makes the plan of a binding that asks what a present one asks, with new keys; null where `bind`
 * does not bind to its pin, or to one that is nested in it.
 * @throws NightlatchError what the pin says
 */
export async function planAgain(input: BindInput, former: Binding): Promise<BindPlan | null> {
  const shares = sharesOf(former);
  if (shares === null) {
    const pin = BIND_PINS.find(({ name }) => name === former.kind);
    return pin === undefined ? null : pin.plan(input, pin.wordsOf?.(former) ?? wordsByMembers(pin, former), former);
  }
  const children: BindPlan[] = [];
  for (const child of shares.children) {
    const plan = await planAgain(input, child);
    if (plan === null) return null;
    children.push(plan);
  }
  return sssPlan(input.system, shares.threshold, children);
}
