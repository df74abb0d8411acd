import { NightlatchError } from "../../core/errors.ts";
import {
  parseOrderingCycles,
  parseUnitProperties,
  type UnitProperties,
  unitList,
} from "../../formats/unit-properties.ts";
import type { System } from "../../system/port.ts";
import type { KeySocketFacts, UnitFacts } from "./facts.ts";

const DEADLINE_MS = 30_000;
const PROPERTIES = [
  "Id",
  "LoadState",
  "ActiveState",
  "SubState",
  "UnitFileState",
  "FragmentPath",
  "DefaultDependencies",
  "After",
  "Listen",
  "Accept",
  "Triggers",
];
/** What local and network volumes wait for. */
const TARGETS = ["cryptsetup-pre.target", "cryptsetup.target"];

/** null where systemd does not run, or cannot be asked. */
export async function gatherUnits(
  system: Pick<System, "run">,
  keyPaths: readonly string[],
  signal: AbortSignal,
): Promise<UnitFacts | null> {
  try {
    const agentSocket = await show(system, ["nightlatch-agent.socket"], signal);
    if (agentSocket === null) return null;
    const [socket] = agentSocket;
    return {
      agentSocket: socket === undefined || socket.get("LoadState") === "not-found" ? null : socket,
      cycles: await findCycles(system, signal),
      early: await findEarly(system, signal),
      keySockets: await findKeySockets(system, keyPaths, signal),
    };
  } catch (error) {
    if (error instanceof NightlatchError && error.code.startsWith("system/")) return null;
    throw error;
  }
}

/** null where systemd does not answer. */
async function show(
  system: Pick<System, "run">,
  units: readonly string[],
  signal: AbortSignal,
): Promise<UnitProperties[] | null> {
  if (units.length === 0) return [];
  const argv = ["systemctl", "show", `--property=${PROPERTIES.join(",")}`, "--", ...units] as const;
  const exit = await system.run({ argv, deadlineMs: DEADLINE_MS, signal });
  return exit.status === 0 ? parseUnitProperties(exit.stdout.toString("utf8")) : null;
}

/** Without a boot: systemd plans one and says where units wait for each other in a circle. */
async function findCycles(system: Pick<System, "run">, signal: AbortSignal) {
  const argv = ["systemd-analyze", "--man=no", "verify", "default.target"] as const;
  const exit = await system.run({ argv, deadlineMs: DEADLINE_MS, signal });
  return parseOrderingCycles(exit.stderr.toString("utf8"));
}

async function findEarly(system: Pick<System, "run">, signal: AbortSignal): Promise<UnitProperties[]> {
  const targets = (await show(system, TARGETS, signal)) ?? [];
  const names = new Set(targets.flatMap((target) => unitList(target, "After")).filter(isForeign));
  return (await show(system, [...names], signal)) ?? [];
}

/** Not systemd's own, and no volume, device or group of units. */
function isForeign(unit: string): boolean {
  return !/^(?:systemd-|system-|dev-|blockdev@|clevis|nightlatch-)|\.(?:target|device|slice|mount|swap)$/.test(unit);
}

async function findKeySockets(
  system: Pick<System, "run">,
  keyPaths: readonly string[],
  signal: AbortSignal,
): Promise<KeySocketFacts[]> {
  if (keyPaths.length === 0) return [];
  const sockets = (await show(system, ["*.socket"], signal)) ?? [];
  const found: KeySocketFacts[] = [];
  for (const path of keyPaths) {
    const socket = sockets.find((unit) =>
      (unit.get("Listen") ?? "").split("\n").some((listen) => listen.startsWith(`${path} (`)),
    );
    if (socket === undefined) continue;
    const [service] = (await show(system, [serviceOf(socket)], signal)) ?? [];
    found.push({ path, socket, service: service ?? null });
  }
  return found;
}

/** systemd.socket(5): a template, of which any instance will do, where each connection gets a service of its own. */
function serviceOf(socket: UnitProperties): string {
  const [triggered] = unitList(socket, "Triggers");
  const stem = (socket.get("Id") ?? "").replace(/\.socket$/, "");
  return socket.get("Accept") === "yes" ? `${stem}@check.service` : (triggered ?? `${stem}.service`);
}
