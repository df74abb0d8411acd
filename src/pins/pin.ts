import type { Limits } from "../core/limits.ts";
import type { Secret } from "../core/secret.ts";
import type { ClevisPin } from "../formats/clevis/clevis.ts";
import type { FlattenedJwe } from "../formats/jose/jwe.ts";
import type { System } from "../system/port.ts";

/**
 * One way of giving a binding's key: docs/decisions/093-a-pin-is-a-folder.md. A pin fills this in
 * in a folder of its own, and has a line in `pins.ts`.
 */
export interface Pin {
  /** As clevis writes it into the header of a binding. */
  readonly name: string;
  /**
   * Takes a binding's configuration apart. It is pure, and asks nobody.
   * @throws NightlatchError clevis/malformed, and what the pin's own format says
   */
  read(clevis: ClevisPin): BoundPin;
}

/** A pin with the configuration of one binding. */
export interface BoundPin {
  /** The word by which a person knows such a binding: `tang`, `latch`, `sss`, `tpm2`, … */
  readonly kind: string;
  /** Addresses of the servers that it asks itself, in its order. */
  readonly urls: readonly string[];
  /** The bindings that it holds and opens by: the shares of an sss. Most pins have none. */
  readonly children: readonly FlattenedJwe[];
  readonly early: EarlyNeeds;
  /**
   * What is asked for the key, for a line of the log, e.g. `tang at keys.example.org`.
   * @param children what its children ask, or how many they are
   */
  describe(children: string): string;
  /** null where Nightlatch knows the pin by its name alone. */
  readonly recover: RecoverKey | null;
}

/** What stock clevis needs in an initramfs to open a binding there. */
export interface EarlyNeeds {
  /** Each is a program `clevis-decrypt-NAME`. */
  readonly pins: readonly string[];
  /** Whether a server is asked, so that the network has to be up. */
  readonly network: boolean;
}

/**
 * One attempt, without a retry, at the key that a binding's JWE is encrypted with.
 * @returns the candidates, of which one is right: decryption tells; the caller wipes them
 * @throws NightlatchError net/*, pin/*, and what the pin's own format says
 */
type RecoverKey = (attempt: RecoverAttempt) => Promise<readonly Secret[]>;

/** What a pin may use for an attempt. */
export interface RecoverAttempt {
  readonly system: PinPower;
  readonly limits: Limits;
  /** What a child was sealed from. All children count against the limits of the whole binding. */
  recoverChild(child: FlattenedJwe, limits: Limits): Promise<Secret>;
}

export type PinPower = Pick<System, "request" | "random">;

/** Seals a volume's passphrase into a new binding. */
export type Seal = (passphrase: Uint8Array) => FlattenedJwe;
