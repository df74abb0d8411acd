import { NightlatchError } from "../core/errors.ts";

/**
 * Failures that may pass without anybody doing anything at the server: a network, a proxy or the
 * server itself is still starting.
 */
const PASSING: ReadonlySet<string> = new Set([
  "net/unreachable",
  "net/timeout",
  "net/too-large",
  "pin/busy",
  "pin/unknown-key",
  "pin/bad-reply",
]);

/** Whether the same attempt, made later, may end otherwise by itself. */
export function isWorthRetrying(error: unknown): boolean {
  return error instanceof NightlatchError && PASSING.has(error.code);
}
