import type { Advertisement } from "../formats/tang.ts";
import type { Change } from "../luks/change.ts";
import type { Binding } from "./binding.ts";

/** One way of binding, prepared as far as it can be without the volume. */
export interface BindPlan {
  /** Whether a binding asks the server that this one will ask. */
  isSameServer(binding: Binding): boolean;
  /** What to seal to; whatever it asks of the network it may ask again after a power cut. */
  prepare(change: Change): Promise<{ readonly url: string; readonly advertisement: Advertisement }>;
  /** Called once the binding is durable and proved. */
  finish(change: Change): Promise<void>;
}
