import type { Binding } from "../../../bindings/binding.ts";
import type { Advertisement } from "../../../formats/tang/tang.ts";
import type { HeldVolume } from "../../../luks/change/begin.ts";

/** One way of binding, prepared as far as it can be without the volume. */
export interface BindPlan {
  /** The server, for a person. */
  readonly server: string;
  /** Whether a binding asks the server that this one will ask. */
  isSameServer(binding: Binding): boolean;
  /**
   * What to seal to. Comes before the passphrase, so that nobody types one for what a server
   * refuses; whatever it asks of the network it may ask again after a power cut.
   */
  prepare(volume: Pick<HeldVolume, "uuid">): Promise<{ readonly url: string; readonly advertisement: Advertisement }>;
  /** Called once the binding is durable and proved. */
  finish(volume: Pick<HeldVolume, "uuid">): Promise<void>;
}
