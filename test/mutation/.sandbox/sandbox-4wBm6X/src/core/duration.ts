// @ts-nocheck
const UNITS_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

type DurationUnit = keyof typeof UNITS_MS;

/** A whole number and one of these units, such as 90m, in milliseconds; null for anything else. */
export function parseDuration(text: string, units: readonly DurationUnit[]): number | null {
  const [, count, unit] = /^(\d{1,9})([a-z]{1,2})$/.exec(text) ?? [];
  const known = units.find((one) => one === unit);
  return known === undefined ? null : Number(count) * UNITS_MS[known];
}
