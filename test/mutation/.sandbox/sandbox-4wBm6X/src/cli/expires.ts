// @ts-nocheck
import { parseDuration } from "../core/duration.ts";
import { NightlatchError } from "../core/errors.ts";

/**
 * How long something is good for, as `--expires` says it, in milliseconds.
 * @throws NightlatchError usage/wrong
 */
export function parseExpires(text: string): number {
  const lifeMs = parseDuration(text, ["s", "m", "h", "d"]);
  if (lifeMs !== null && lifeMs > 0) return lifeMs;
  throw new NightlatchError("usage/wrong", `--expires ${text} is not a time`, {
    remedy: "Give a number and a unit: s, m, h or d, such as 90m.",
  });
}
