// @ts-nocheck
import type { AttemptLimits } from "../core/limits.ts";
import type { Secret } from "../core/secret.ts";
import type { ClevisPin } from "../formats/clevis/clevis.ts";
import type { FlattenedJwe } from "../formats/jose/jwe.ts";
import type { Measured } from "../formats/tpm2/registers.ts";
import type { System } from "../system/port.ts";
import type { AskPin } from "./ask-pin.ts";

/**
 * A pin is one way of giving a binding's key: docs/decisions/093-a-pin-is-a-folder.md. Each pin
 * fills this in, in a folder of its own, and has a line in `pins.ts`.
 */
export interface Pin {
  /** As clevis writes it into the header of a binding. */
  readonly name: string;
  /**
   * Takes the configuration of one binding apart. It is pure and asks nobody.
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
  /**
   * What it asks that is no server, in one line: the URI of a card's key, the registers of a TPM.
   */
  readonly target?: string;
  /** The bindings within it, by which it opens: the shares of an sss. Most pins have none. */
  readonly children: readonly FlattenedJwe[];
  /** How many of the children give the key; absent where there are none. */
  readonly threshold?: number;
  /** Without its children: `earlyOf` in nested.ts has theirs too. */
  readonly early: EarlyNeeds;
  /**
   * Whether it gives its key to nobody but a person who types a PIN. Whoever has nobody to ask
   * passes it over without an attempt: `needsPerson` in nested.ts. Absent: it does not.
   */
  readonly needsPerson?: boolean;
  /** What of the machine's start it is sealed to; absent where that is nothing. */
  readonly measured?: Measured;
  /**
   * Says what is asked for the key, for a line of the log, e.g. `tang at keys.example.org`.
   * @param children what its children ask, or how many they are
   */
  describe(children: string): string;
  /** Gives the key; null where Nightlatch knows the pin by its name alone. */
  readonly recover: RecoverKey | null;
}

/** What stock clevis needs in an initramfs to open a binding there. */
export interface EarlyNeeds {
  /** Each is a program `clevis-decrypt-NAME`. */
  readonly pins: readonly string[];
  /** Whether a server is asked, so that the network has to be up. */
  readonly network: boolean;
  /** Why no stock clevis opens it, whatever the initramfs holds; absent where it does. */
  readonly never?: string;
}

/**
 * Makes one attempt, without a retry, at the key that the binding's JWE is encrypted with.
 * @returns candidates, of which at most one is right; decryption tells which. The caller wipes
 *   them.
 * @throws NightlatchError net/*, pin/*, tpm2/*, and what the pin's own format says
 */
type RecoverKey = (attempt: RecoverAttempt) => Promise<readonly Secret[]>;

/** What a pin may use for an attempt. */
export interface RecoverAttempt {
  readonly system: PinPower;
  readonly limits: AttemptLimits;
  /** Whether every child is to be asked to its end, though fewer would do. */
  readonly asksAll: boolean;
  /**
   * Gives what a child was sealed from. All children count against the limits of the whole binding.
   * @throws NightlatchError as recoverSecret
   */
  recoverChild(child: FlattenedJwe, limits: AttemptLimits): Promise<Secret>;
}

/** What a pin needs of the world for an attempt. */
export type PinPower = Pick<
  System,
  "request" | "random" | "run" | "realPath" | "findExposures" | "readFileIfPresent" | "openTpm"
> & {
  /** Absent where nobody is there to be asked, as in the agent. */
  readonly askPin?: AskPin;
};

/**
 * Seals the passphrase of a keyslot into a new binding; the passphrase stays the caller's.
 * @throws NightlatchError what the pin says where its chip or card does not answer
 */
export type Seal = (passphrase: Uint8Array) => Promise<FlattenedJwe>;
