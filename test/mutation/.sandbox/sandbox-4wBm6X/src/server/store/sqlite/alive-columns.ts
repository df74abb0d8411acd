// @ts-nocheck
import type { AliveRow } from "../port.ts";

/** The columns of what a machine under `alive` is released by. */
export const ALIVE = ["alive_timeout", "alive_until", "alive_saved", "alive_made_at", "alive_extended"] as const;

/** The same as they are read. All are null under another policy. */
export type AliveColumns = { readonly [Column in (typeof ALIVE)[number]]: number | null };

/** Under another policy. */
export const NO_ALIVE: AliveColumns = {
  alive_timeout: null,
  alive_until: null,
  alive_saved: null,
  alive_made_at: null,
  alive_extended: null,
};

/** Reads what a machine is released by; null under another policy. */
export function aliveOf(row: AliveColumns): AliveRow | null {
  const { alive_timeout: timeoutMs, alive_until: untilMs, alive_saved: savedMs, alive_made_at: madeAt } = row;
  if (timeoutMs === null || untilMs === null || savedMs === null || madeAt === null) return null;
  return { timeoutMs, untilMs, savedMs, madeAt, isExtended: row.alive_extended === 1 };
}

/** Writes it. */
export function columnsOfAlive(alive: AliveRow | null): AliveColumns {
  if (alive === null) return NO_ALIVE;
  return {
    alive_timeout: alive.timeoutMs,
    alive_until: alive.untilMs,
    alive_saved: alive.savedMs,
    alive_made_at: alive.madeAt,
    alive_extended: alive.isExtended ? 1 : 0,
  };
}
