// @ts-nocheck
import { SMALL_PROGRAM_MS } from "../../core/deadlines.ts";
import { isError } from "../../core/errors.ts";
import {
  parseUnitProperties,
  UNIT_PROPERTIES_LIMIT_BYTES,
  type UnitProperties,
} from "../../formats/systemd/unit-properties.ts";
import type { System } from "../../system/port.ts";
import type { Responder, SystemdFacts } from "../judge/facts.ts";

/**
 * Asks systemd about the units that answer for keys. Null where systemd does not run.
 * @param keys paths that crypttab names as keys
 * @throws NightlatchError system/*
 */
export async function readSystemd(
  system: Pick<System, "run" | "stat">,
  keys: ReadonlySet<string>,
): Promise<SystemdFacts | null> {
  if ((await system.stat("/run/systemd/system")) === null) return null;
  const [agent] = await show(system, ["LoadState", "UnitFileState", "ActiveState"], "nightlatch-agent.socket");
  const property = (name: string) => agent?.get(name) || "unknown";
  const sockets = await show(system, ["Id", "Listen", "DefaultDependencies", "Before", "Triggers"], "*.socket");
  const responders: Responder[] = [];
  for (const unit of sockets) {
    const path = listenPaths(unit).find((listened) => keys.has(listened));
    if (path !== undefined) responders.push(await readResponder(system, unit, path));
  }
  return {
    agentUnit: { load: property("LoadState"), file: property("UnitFileState"), active: property("ActiveState") },
    startsRemote: await isPartOfBoot(system, "remote-cryptsetup.target"),
    responders,
    cycles: await findCycles(system),
  };
}

/**
 * Whether the boot pulls a target in. Who enabled it counts, and any other unit that wants it, but
 * only where the boot starts that one: initrd-root-device.target wants remote-cryptsetup.target on
 * every machine, and takes part in no boot but the initramfs's. What is not told counts as enabled,
 * as with Debian's neighbours.
 */
async function isPartOfBoot(system: Pick<System, "run">, name: string): Promise<boolean> {
  const [target] = await show(system, ["UnitFileState", ...PULLED_BY], name);
  if (target === undefined) return true;
  const state = target.get("UnitFileState") ?? "";
  if (state.startsWith("masked")) return false;
  if (!["disabled", "static", "bad"].includes(state)) return true;
  const pullers = pullersOf(target);
  return pullers.length > 0 && (await isPulledByBoot(system, pullers));
}

/** The other ends of Wants=, Requires=, BindsTo= and Upholds= (org.freedesktop.systemd1(5)). */
const PULLED_BY = ["WantedBy", "RequiredBy", "BoundBy", "UpheldBy"];
/** A real chain has three or four units; a machine has a few hundred that anything pulls in. */
const CHAIN_LENGTH = 16;
const UNITS_LIMIT = 1000;

/** Whether default.target is above one of these units, by whatever way. */
async function isPulledByBoot(system: Pick<System, "run">, pullers: readonly string[]): Promise<boolean> {
  const [start] = await show(system, ["Id"], "default.target");
  const goal = start?.get("Id") ?? "default.target";
  const seen = new Set<string>();
  let above = [...pullers];
  for (let round = 0; round < CHAIN_LENGTH && above.length > 0 && seen.size < UNITS_LIMIT; round++) {
    if (above.includes(goal)) return true;
    for (const unit of above) seen.add(unit);
    const next = (await show(system, ["Id", ...PULLED_BY], ...above)).flatMap(pullersOf);
    above = [...new Set(next)].filter((unit) => !seen.has(unit)).slice(0, UNITS_LIMIT);
  }
  return false;
}

function pullersOf(unit: UnitProperties): string[] {
  return PULLED_BY.flatMap((property) => listOf(unit, property));
}

async function readResponder(system: Pick<System, "run">, socket: UnitProperties, path: string): Promise<Responder> {
  const unit = socket.get("Id") ?? "";
  // With Accept=yes there is a service for each connection, and none yet: any instance has the
  // template's properties.
  const name = listOf(socket, "Triggers")[0] ?? unit.replace(/\.socket$/, "@check.service");
  const [service] = await show(system, ["LoadState", "DefaultDependencies", "After"], name);
  const isKnown = service?.get("LoadState") === "loaded";
  return {
    unit,
    path,
    hasDefaultDependencies: hasDefaultDependencies(socket),
    before: listOf(socket, "Before"),
    service: isKnown
      ? { unit: name, hasDefaultDependencies: hasDefaultDependencies(service), after: listOf(service, "After") }
      : null,
  };
}

async function show(
  system: Pick<System, "run">,
  properties: readonly string[],
  ...patterns: readonly string[]
): Promise<UnitProperties[]> {
  const { stdout } = await system.run({
    argv: ["systemctl", "show", `--property=${properties.join(",")}`, "--", ...patterns],
    timeoutMs: SMALL_PROGRAM_MS,
    outputLimitBytes: UNIT_PROPERTIES_LIMIT_BYTES,
  });
  return parseUnitProperties(stdout.toString("utf8"));
}

/** systemd-analyze(1) loads the units anew and prints what it would have to break. */
async function findCycles(system: Pick<System, "run">): Promise<readonly string[] | null> {
  try {
    const { stderr } = await system.run({
      argv: ["systemd-analyze", "verify", "--man=no", "default.target"],
      timeoutMs: SMALL_PROGRAM_MS,
    });
    const lines = stderr.toString("utf8").split("\n");
    return lines.filter((line) => /found ordering cycle/i.test(line)).map((line) => line.trim());
  } catch (error) {
    if (isError(error, "system/missing-program") || isError(error, "system/timeout")) return null;
    throw error;
  }
}

/** `Listen=/run/key.sock (Stream)`, a line each. */
function listenPaths(unit: UnitProperties): string[] {
  return (unit.get("Listen") ?? "").split("\n").flatMap((line) => /^(\/.*) \(Stream\)$/.exec(line)?.[1] ?? []);
}

function listOf(unit: UnitProperties, name: string): string[] {
  return (unit.get(name) ?? "").split(" ").filter((word) => word !== "");
}

function hasDefaultDependencies(unit: UnitProperties): boolean {
  return unit.get("DefaultDependencies") === "yes";
}
