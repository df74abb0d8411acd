// @ts-nocheck
import { NightlatchError } from "../core/errors.ts";
import type { System } from "../system/port.ts";

/** How long somebody waits. */
export interface Wait {
  /** On the clock of `monotonicMs`. */
  readonly endMs: number;
  /** Aborted when nobody waits any more. */
  readonly signal: AbortSignal;
}

/**
 * Gives what the work gives, but settles no later than the end, though the work may never settle: a
 * read from a dying disk never returns, and the passphrase prompt must come all the same.
 * @throws NightlatchError agent/deadline with `message`, agent/abandoned
 */
export async function orEnd<T>(
  system: Pick<System, "sleep" | "monotonicMs">,
  work: Promise<T>,
  { endMs, signal }: Wait,
  message: string,
): Promise<T> {
  const over = new AbortController();
  const onGone = () => over.abort();
  signal.addEventListener("abort", onGone, { once: true });
  if (signal.aborted) onGone();
  const late = system.sleep(Math.max(0, endMs - system.monotonicMs()), over.signal).then(() => {
    if (signal.aborted) throw new NightlatchError("agent/abandoned", "nobody waits for the key any more");
    throw new NightlatchError("agent/deadline", message);
  });
  late.catch(() => {}); // the work may be done by then
  try {
    return await Promise.race([work, late]);
  } finally {
    signal.removeEventListener("abort", onGone);
    over.abort();
  }
}
