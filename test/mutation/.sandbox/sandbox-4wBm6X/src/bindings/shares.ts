// @ts-nocheck
import type { NightlatchError } from "../core/errors.ts";
import { type FlattenedJwe, formatFlattenedJwe } from "../formats/jose/jwe.ts";
import type { HeldToken } from "../luks/header/bindings.ts";
import { readPin } from "../pins/pins.ts";
import type { ShareOutcome } from "../pins/recover.ts";
import { type Binding, describeToken } from "./binding.ts";
import { readClevis } from "./recovery.ts";

/** The bindings within a binding, and how many of them open it. */
interface Shares {
  readonly threshold: number;
  /** Their tokens are the whole binding's, with the share's own JWE and no keyslot. */
  readonly children: readonly Binding[];
}

/** Gives what is nested in a binding; null where nothing is, or the binding is damaged. */
export function sharesOf({ token, fault }: Pick<Binding, "token" | "fault">): Shares | null {
  if (fault !== null) return null;
  const { children, threshold } = readPin(readClevis(token));
  if (threshold === undefined) return null;
  return { threshold, children: children.map((child) => describeToken(tokenOf(token, child))) };
}

/** The token of a share, as if it stood in the header by itself. */
function tokenOf(token: HeldToken, jwe: FlattenedJwe): HeldToken {
  const json = { type: token.type, keyslots: [], jwe: formatFlattenedJwe(jwe) };
  return { ...token, keyslots: [], json };
}

/** A share, and whether it gives what the whole needs of it. */
interface ShareStatus {
  readonly binding: Binding;
  /** null: not tried. */
  readonly answers: boolean | null;
  readonly error: NightlatchError | null;
  readonly shares: SharesStatus | null;
}

/** What is nested in a binding, tried. */
export interface SharesStatus {
  readonly threshold: number;
  readonly children: readonly ShareStatus[];
}

/**
 * Puts together what a binding's shares are and what came of them.
 * @param outcomes as recoverEveryShare filled them; null where nothing was tried
 */
export function describeShares(binding: Binding, outcomes: readonly ShareOutcome[] | null): SharesStatus | null {
  const shares = sharesOf(binding);
  if (shares === null) return null;
  return {
    threshold: shares.threshold,
    children: shares.children.map((child, index) => {
      const outcome = outcomes?.[index];
      return {
        binding: child,
        answers: outcome === undefined ? null : outcome.error === null,
        error: outcome?.error ?? null,
        shares: describeShares(child, outcome?.shares ?? null),
      };
    }),
  };
}
