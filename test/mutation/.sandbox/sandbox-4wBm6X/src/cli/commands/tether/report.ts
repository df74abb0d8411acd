// @ts-nocheck
import { readTrip } from "../../../agent/tether/watch.ts";
import { TETHER_FOLDER } from "../../../core/places.ts";
import { shellWord } from "../../../core/text.ts";
import type { TetherConfig } from "../../../formats/own/agent-config.ts";
import type { Trip } from "../../../formats/own/tether.ts";
import { isSuspended, listLuksMappings } from "../../../host/luks-mappings.ts";
import type { System } from "../../../system/port.ts";

/** What there is to tell of a tether. */
interface TetherReport {
  readonly tether: TetherConfig;
  /** What it did last; null where nothing. */
  readonly trip: Trip | null;
  /** Names of the LUKS mappings that stand still now, whoever has suspended them. */
  readonly suspended: readonly string[];
}

/** Null where agent.toml has none. @throws NightlatchError file/* */
export async function lookForTether(
  system: Pick<System, "readFileIfPresent" | "listDirectory">,
  tether: TetherConfig | null,
): Promise<TetherReport | null> {
  if (tether === null) return null;
  const suspended: string[] = [];
  for (const mapping of await listLuksMappings(system))
    if (await isSuspended(system, mapping)) suspended.push(mapping.name);
  return { tether, trip: await readTrip(system, TETHER_FOLDER), suspended };
}

/** For a person, a sentence each. */
export function tetherLines(report: TetherReport | null): string[] {
  if (report === null) return [];
  const { tether, trip, suspended } = report;
  const silence = tether.afterMs === null ? "" : `, or none answers for ${tether.afterMs / 1000} s`;
  const deed = tether.action === "suspend" ? "volumes are suspended" : "the machine goes off";
  const causes = { locked: "a server has locked this machine", gone: "no server has answered" };
  return [
    `Tether: ${deed} where a server has locked this machine${silence}.`,
    ...(trip === null ? [] : [`It was tripped since the machine was started: ${causes[trip.cause]}.`]),
    ...suspended.map((name) => {
      const word = shellWord(name);
      return `${name} is suspended: nightlatch resume ${word}, or by its passphrase cryptsetup luksResume ${word}`;
    }),
  ];
}

/** For a program; docs/json.md. */
export function tetherJson(report: TetherReport | null): Record<string, unknown> | null {
  if (report === null) return null;
  const { tether, trip, suspended } = report;
  return { after: tether.afterMs, action: tether.action, tripped: trip?.cause ?? null, suspended };
}
