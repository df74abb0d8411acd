// @ts-nocheck
import type { Binding } from "./binding.ts";
import { sharesOf } from "./shares.ts";

/**
 * Gives the latches without which a binding does not open, whatever else answers: itself, or those
 * of an sss whose threshold cannot be reached without them. Each is given as a binding of its own.
 * A damaged binding needs none that is known.
 */
export function neededLatches(binding: Binding): readonly Binding[] {
  if (binding.kind === "latch") return [binding];
  const shares = sharesOf(binding);
  // Where one share more may be missing, none of them is needed.
  if (shares === null || shares.children.length > shares.threshold) return [];
  return shares.children.flatMap(neededLatches);
}
