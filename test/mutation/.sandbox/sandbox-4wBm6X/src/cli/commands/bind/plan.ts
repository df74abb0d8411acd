// @ts-nocheck
import type { Binding } from "../../../bindings/binding.ts";
import { readClevis } from "../../../bindings/recovery.ts";
import { configurationOf, parseClevisPin } from "../../../formats/clevis/clevis.ts";
import type { HeldVolume } from "../../../luks/change/begin.ts";
import type { Seal } from "../../../pins/pin.ts";
import type { BindInput } from "./options.ts";
import type { PinWords } from "./request.ts";

/** A pin that `bind` binds to. Each has a line in `pins.ts`. */
export interface BindPin extends PinWords {
  /**
   * Makes the plan of the words, which `takes` has taken. Nothing is changed yet.
   * @param former the binding that the new one takes the place of, where it is the same with new
   *   keys: whom that one trusts needs no other proof
   * @throws NightlatchError usage/wrong, and what the pin says
   */
  plan(input: BindInput, words: readonly string[], former?: Binding): Promise<BindPlan>;
  /**
   * The words that ask for what a binding of this pin asks. Where it is absent, they are told by
   * those members of the binding's configuration that `members` has.
   */
  readonly wordsOf?: (binding: Binding) => readonly string[];
}

/**
 * Tells the words of a binding by those members of its configuration that the pin has words for.
 */
export function wordsByMembers({ members }: Pick<PinWords, "members">, { token }: Binding): readonly string[] {
  const configuration = configurationOf(parseClevisPin(readClevis(token)));
  return Object.entries(members).flatMap(([member, wordsOf]) => {
    const value = configuration[member];
    return value === undefined ? [] : (wordsOf(value) ?? []);
  });
}

/** One way of binding, prepared as far as it can be without the volume; it may serve several. */
export interface BindPlan {
  /** What the binding will ask, for a person: a server's address, a chip, a card. */
  readonly target: string;
  /** Who was asked, as a sentence begins; `The server` where it is absent. */
  readonly asked?: string;
  /** Whether a binding asks what this one will ask, so that it is replaced by it. */
  isSameTarget(binding: Binding): boolean;
  /**
   * What exactly the binding will ask, and how to seal to it. Comes before the passphrase, so that
   * nobody types one for what a server refuses; whatever it asks of the network it may ask again
   * after a power cut.
   */
  prepare(volume: Pick<HeldVolume, "uuid">): Promise<{ readonly target: string; readonly seal: Seal }>;
  /** Called once the binding is durable and proved. */
  finish(volume: Pick<HeldVolume, "uuid">): Promise<void>;
  /** Called at the end of the run, whatever came of it: wipes what was kept for the next volume. */
  readonly end?: () => void;
}
