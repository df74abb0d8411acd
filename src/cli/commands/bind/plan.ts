import type { Binding } from "../../../bindings/binding.ts";
import type { HeldVolume } from "../../../luks/change/begin.ts";
import type { Seal } from "../../../pins/pin.ts";

/** One way of binding, prepared as far as it can be without the volume. */
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
}
