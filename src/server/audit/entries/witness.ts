import type { Dated } from "./dated.ts";

/** An operator has a witness asked to cosign this log, or no more. */
export interface WitnessEntry extends Dated {
  readonly kind: "witness-add" | "witness-remove";
  readonly witness: string;
  /** Its verifier key and its address; absent where it is asked no more. */
  readonly key?: string;
  readonly url?: string;
  readonly by: number;
}

/** An operator has the log of another server cosigned here, or no more. */
export interface WitnessedEntry extends Dated {
  readonly kind: "witnessed-add" | "witnessed-remove";
  readonly origin: string;
  /** Its verifier key; absent where it is cosigned no more. */
  readonly key?: string;
  /** What was signed last, and is forgotten. */
  readonly size?: number;
  readonly by: number;
}
