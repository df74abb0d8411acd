// @ts-nocheck
import { NightlatchError } from "../core/errors.ts";

/**
 * These failures may pass without anybody doing anything: a network, a proxy or the server itself
 * is still starting, or a chip's driver, or a card's reader. No PIN was tried for an absent card.
 * docs/decisions/074-what-may-pass-is-asked-again.md
 */
const PASSING: ReadonlySet<string> = new Set([
  "net/unreachable",
  "net/timeout",
  "net/too-large",
  "pin/busy",
  "pin/unknown-key",
  "pin/bad-reply",
  "tpm2/no-chip",
  "tpm2/silent",
  "tpm2/busy",
  "card/absent",
]);

/** Tells whether the same attempt, made later, may end otherwise by itself. */
export function isWorthRetrying(error: unknown): boolean {
  return error instanceof NightlatchError && PASSING.has(error.code);
}
