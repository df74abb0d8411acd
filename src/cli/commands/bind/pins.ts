import { latchWords } from "./latch.ts";
import type { BindInput } from "./options.ts";
import type { BindPin, BindPlan } from "./plan.ts";
import type { PinRequest } from "./request.ts";
import { sssPlan } from "./sss.ts";
import { tangWords } from "./tang.ts";

/** The pins that `bind` binds to, in the order in which they are told. */
export const BIND_PINS: readonly BindPin[] = [latchWords, tangWords];

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
