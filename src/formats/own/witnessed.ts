import { findCosignature, isCosigned } from "../log/cosignature.ts";
import { type Checkpoint, rawKey, type Verifier } from "../log/note.ts";

/** What a machine wants of witnesses. */
export interface WantedWitnesses {
  /** Those that it relies on. */
  readonly known: readonly Verifier[];
  /** How many of them must have signed. */
  readonly need: number;
}

/** What witnesses have signed of a log. */
export interface Witnessed {
  /** The size of the checkpoint; 0 where there is none. */
  readonly size: number;
  /** Those of the wanted ones who did. */
  readonly by: readonly string[];
  /** Whether they are enough, and what they signed has the release in it. */
  readonly isEnough: boolean;
}

/**
 * Judges who has signed a checkpoint, and whether that is enough.
 * @param note with their lines
 * @param signed what is in it; null where the server shows none that witnesses signed
 * @param release number of the entry that it has to reach; -1 for none
 */
export function judgeWitnesses(
  note: string,
  signed: Checkpoint | null,
  release: number,
  { known, need }: WantedWitnesses,
): Witnessed {
  if (signed === null) return { size: 0, by: [], isEnough: false };
  const by = known.filter((witness) => hasSigned(witness, signed, note));
  // One key under two names is one witness.
  const count = new Set(by.map(({ publicKey }) => rawKey(publicKey).toString("hex"))).size;
  const { size } = signed;
  return { size, by: by.map(({ origin }) => origin), isEnough: count >= need && release < size };
}

/** Whether a witness is the server itself whose log this is. */
export function isItsOwn(witness: Verifier, origin: string): boolean {
  return witness.origin.startsWith(`${origin}/`);
}

/**
 * Whether a witness has signed a checkpoint. A server's word for its own log is none of a witness.
 */
export function hasSigned(witness: Verifier, checkpoint: Checkpoint, note: string): boolean {
  if (isItsOwn(witness, checkpoint.origin)) return false;
  const cosignature = findCosignature(note, witness);
  return cosignature !== null && isCosigned(checkpoint, cosignature, witness.publicKey);
}
