import { HEARD_FILE } from "../../core/places.ts";
import type { AgentConfig } from "../../formats/own/agent-config.ts";
import { readHeard } from "../../host/heard-servers.ts";
import type { EnrolledServer } from "../../pins/latch/machine.ts";
import type { System } from "../../system/port.ts";
import type { HeartbeatFacts } from "../judge/facts.ts";
import { readUnits } from "./units.ts";

/** The unit that sends them. */
export const HEARTBEAT_UNIT = "nightlatch-heartbeat.service";
/** A sender that was started just now has to open a session first. */
const FIRST_MS = 5_000;
const LOOK_MS = 500;
/** One heartbeat may be lost on the way, and the next may have to wait for its answer. */
const SLACK_MS = 30_000;

type HeartbeatPower = Pick<System, "run" | "readFileIfPresent" | "upMs" | "sleep">;

/**
 * How heartbeats stand. Null where nobody counts on them: agent.toml has no `[heartbeat]`, and
 * their unit is not enabled; or where no server knows the machine.
 * @param enrolled servers that do
 * @throws NightlatchError system/*, file/*
 */
export async function lookAtHeartbeats(
  system: HeartbeatPower,
  { heartbeat, tether }: AgentConfig,
  enrolled: readonly EnrolledServer[],
  signal: AbortSignal,
): Promise<HeartbeatFacts | null> {
  if (enrolled.length === 0) return null;
  const unit = (await readUnits(system, [HEARTBEAT_UNIT])).get(HEARTBEAT_UNIT);
  if (!heartbeat.isSaid && unit?.isEnabled !== true) return null;
  const { servers, intervalMs } = heartbeat;
  const strangers = (servers ?? []).filter((url) => !enrolled.some((server) => server.url === url));
  const runs = unit?.isEnabled === true && unit.isActive;
  const wanted = enrolled.filter(({ url }) => servers === null || servers.includes(url));
  const isSent = runs && strangers.length === 0;
  return {
    isTethers: tether !== null,
    runs,
    strangers,
    enrolled: enrolled.map(({ url }) => url),
    silent: isSent ? await findSilent(system, wanted, 2 * intervalMs + SLACK_MS, signal) : [],
  };
}

/** Those that have not answered for so long; one that never did is given a moment. */
async function findSilent(
  system: HeartbeatPower,
  servers: readonly EnrolledServer[],
  longestMs: number,
  signal: AbortSignal,
): Promise<HeartbeatFacts["silent"]> {
  const endMs = system.upMs() + FIRST_MS;
  for (;;) {
    const heard = await readHeard(system, HEARD_FILE);
    const nowMs = system.upMs();
    const silent = servers.flatMap(({ url, name }) => {
      const heardMs = heard.find((one) => one.url === url)?.heardMs ?? null;
      const silentMs = heardMs === null ? null : nowMs - heardMs;
      return silentMs !== null && silentMs < longestMs ? [] : [{ url, name, silentMs }];
    });
    if (silent.length === 0 || nowMs >= endMs || signal.aborted) return silent;
    await system.sleep(LOOK_MS, signal);
  }
}
