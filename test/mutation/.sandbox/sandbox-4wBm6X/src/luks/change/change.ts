// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";
import type { Secret } from "../../core/secret.ts";
import type { Intent } from "../../formats/own/intent.ts";
import type { Volume } from "../cryptsetup/cryptsetup.ts";
import { opensSlot } from "../cryptsetup/keyslots.ts";
import type { HeldToken } from "../header/bindings.ts";
import { readVolumeHeader, type VolumeHeader } from "../header/header.ts";
import type { ChangePower, Ledger } from "./ledger.ts";

/** Gives the passphrase that a token's servers release, or throws why they do not. */
export type Prove = (token: HeldToken) => Promise<Secret>;

/**
 * A header change that may begin: the lock is held, the passphrase proved, what an earlier run left
 * is settled.
 */
export interface Change extends AsyncDisposable {
  readonly volume: Volume;
  readonly uuid: string;
  readonly stateFolder: string;
  readonly ledger: Ledger;
  readonly passphrase: Secret;
  /** A keyslot that the passphrase was proved to open. */
  readonly openedBy: number;
  readonly prove: Prove;
  readonly tell: Tell;
  readonly settled: readonly Settled[];
  /**
   * Header backups that differ from the volume, which `settled` does not explain; they are kept.
   */
  readonly keptBackups: readonly string[];
}

/** Called with each thing that is settled; for what is disowned, before its last trace goes. */
export type Tell = (settled: Settled) => void;

/** What became of an intent that an earlier run left. */
export interface Settled {
  readonly intent: Intent;
  /**
   * `disowned`: the volume and this machine's state folder do not agree on it, so nothing was
   * touched.
   */
  readonly outcome: "completed" | "undone" | "disowned";
  /** Where it is disowned: keyslots that it names and no token refers to, which may be its own. */
  readonly orphans: readonly number[];
  /** The token that `adds` put there, where it was completed. */
  readonly added: HeldToken | null;
}

/**
 * Reads the header of the volume under change again.
 * @throws NightlatchError as readVolumeHeader
 */
export function readHeader(system: Pick<ChangePower, "readAt">, change: Pick<Change, "volume">): Promise<VolumeHeader> {
  return readVolumeHeader(system, change.volume.device);
}

/**
 * Proves a token: recovers what it seals, and opens its keyslot with that. Nothing is taken for
 * granted.
 * @throws NightlatchError luks/not-proved, and whatever `prove` throws
 */
export async function proveToken(
  system: Pick<ChangePower, "run">,
  change: Pick<Change, "volume" | "prove">,
  token: HeldToken,
  keyslot: number,
): Promise<void> {
  using secret = await change.prove(token);
  if (await opensSlot(system, change.volume, keyslot, secret)) return;
  throw new NightlatchError(
    "luks/not-proved",
    `${change.volume.device}: what the server released does not open keyslot ${keyslot}`,
  );
}
