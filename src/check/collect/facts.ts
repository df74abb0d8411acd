import { formatBinding } from "../../bindings/binding.ts";
import { type BindingStatus, isChangeUnderWay, type VolumeStatus, volumeStatus } from "../../bindings/volume-status.ts";
import { NightlatchError } from "../../core/errors.ts";
import { AGENT_CONFIG_LIMIT_BYTES, type AgentConfig, configInPlaceOf } from "../../formats/own/agent-config.ts";
import { parseAgentConfig } from "../../formats/own/agent-config-file.ts";
import { findStarts } from "../../formats/systemd/boot-start.ts";
import { type Crypttab, type CrypttabEntry, devicePathOf, headerPathOf } from "../../formats/systemd/crypttab.ts";
import { hearCrypttab } from "../../formats/systemd/crypttab-heard.ts";
import { placeOf } from "../../formats/systemd/crypttab-places.ts";
import { type FstabEntry, mountsMapping, takenMounts } from "../../formats/systemd/fstab.ts";
import { readCrypttab } from "../../host/crypttab.ts";
import { describeExposure, listExposed } from "../../host/exposed.ts";
import { readFstab } from "../../host/fstab.ts";
import { type EnrolledServer, listServers } from "../../pins/latch/machine.ts";
import type { System } from "../../system/port.ts";
import type { BindingFacts, CheckFacts, VolumeFacts } from "../judge/facts.ts";
import { whyEarly } from "../judge/stage.ts";
import { clevisAnswers } from "./clevis-askpass.ts";
import { type EarlyBoot, earlyFacts, NO_DRIVER_LACKS, readEarlyBoot } from "./early-boot.ts";
import { lacksOf } from "./early-lacks.ts";
import { hasHeader } from "./header-lines.ts";
import { lookAtHeartbeats } from "./heartbeat.ts";
import { measuredFacts } from "./measured.ts";
import { readSystemd } from "./systemd.ts";
import { readTether } from "./tether.ts";
import { readWitness } from "./witness.ts";

/** Which files are looked at, and how far. */
export interface CheckOptions {
  readonly crypttab: string;
  readonly fstab: string;
  readonly config: string;
  readonly socket: string;
  readonly stateFolder: string;
  readonly signal: AbortSignal;
  /** Of crypttab, which to look at; all where it is absent. */
  readonly only?: ReadonlySet<string>;
  /** They are known to be opened after the initramfs, which is not looked at. */
  readonly later?: boolean;
  /** An initramfs to look into, in the place of the one that boots next. */
  readonly initramfs?: string;
  /** Whether servers are asked and keyslots tried; they are where it is absent. */
  readonly tries?: boolean;
  /** Whether it is looked at what servers hear of this machine, and what their witnesses sign. */
  readonly asksAround?: boolean;
}

/** A volume as `check` judges it, and as `status` shows it. */
export interface LookedAt {
  readonly facts: VolumeFacts;
  /** null where its header cannot be read. */
  readonly status: VolumeStatus | null;
}

/** The machine around its volumes, read once. */
export interface Surroundings {
  readonly config: AgentConfig;
  readonly configError: NightlatchError | null;
  /** Those of fstab that systemd takes. */
  readonly mounts: readonly FstabEntry[];
  readonly early: EarlyBoot;
  /** The kernel command line of the next boot; the running one's where that cannot be told. */
  readonly cmdline: string;
  readonly isChanging: boolean;
}

/**
 * Looks at everything, and changes nothing; servers are asked and keyslots tried.
 * @throws NightlatchError file/* but file/missing
 */
export async function collectFacts(system: System, options: CheckOptions): Promise<CheckFacts> {
  const around = await readAround(system, options);
  const crypttab = await readCrypttab(system, options.crypttab);
  const { entries: heard } = hearCrypttab(crypttab, around.cmdline).crypttab;
  const servers = options.asksAround === true ? await knownServers(system, options.stateFolder) : [];
  // Before keys are asked for: witnesses have not signed yet what is released now.
  const witness = await readWitness(system, around.config.witness, servers, options);
  const entries = heard.filter((entry) => hasHeader(entry, around.early) && options.only?.has(entry.volume) !== false);
  const looked = await Promise.all(entries.map((entry) => lookAt(system, options, entry, around)));
  const volumes = looked.map(({ facts }) => facts);
  const facts = await factsAround(system, options, crypttab, around, volumes);
  const heartbeat =
    facts.systemd === null ? null : await lookAtHeartbeats(system, around.config, servers, options.signal);
  return { ...facts, heartbeat, witness };
}

/**
 * Reads what is around the volumes: fstab, the agent's configuration, the next boot.
 * @throws NightlatchError file/* but file/missing
 */
export async function readAround(system: System, options: CheckOptions): Promise<Surroundings> {
  const mounts = takenMounts(await readFstab(system, options.fstab));
  const { config, error: configError } = await readConfig(system, options.config);
  const isChanging = await isChangeUnderWay(system, options.stateFolder);
  const early = options.later === true ? NO_EARLY_BOOT : await readEarlyBoot(system, options.initramfs ?? null);
  const running = async () =>
    (await system.readFileIfPresent("/proc/cmdline", CMDLINE_LIMIT_BYTES))?.toString("latin1");
  const cmdline = early.next?.entry.cmdline ?? (await running()) ?? "";
  return { config, configError, mounts, isChanging, early, cmdline };
}

const CMDLINE_LIMIT_BYTES = 64 * 1024;

/** Of volumes that are known to be opened by the system, nothing else is asked. */
const NO_EARLY_BOOT: EarlyBoot = {
  next: null,
  unknown: null,
  mending: null,
  drivers: NO_DRIVER_LACKS,
  beneath: { root: new Set(), usr: new Set(), resume: new Set() },
};

/**
 * Puts together what `check` judges, of a machine that was read and volumes that were looked at.
 * @throws NightlatchError file/* but file/missing
 */
export async function factsAround(
  system: System,
  options: CheckOptions,
  crypttab: Crypttab,
  { config, configError, early, mounts, cmdline }: Surroundings,
  volumes: readonly VolumeFacts[],
): Promise<CheckFacts> {
  const socket = await system.stat(options.socket);
  const systemd = await readSystemd(system, new Set(crypttab.entries.flatMap(({ key }) => key ?? [])));
  const { crypttab: crypttabFile, fstab, config: configFile } = options;
  const names = crypttab.entries.map(({ volume }) => volume);
  return {
    agentSocket: options.socket,
    isEnrolled: (await knownServers(system, options.stateFolder)).length > 0,
    files: { crypttab: crypttabFile, fstab, config: configFile, state: options.stateFolder },
    crypttabFaults: crypttab.faults,
    volumes,
    starts: findStarts({ crypttab, mounts, startsRemote: systemd?.startsRemote ?? true, cmdline }),
    configError,
    strangers: [...config.volumes.keys()].filter((name) => !names.includes(name)),
    ...(await findExposed(system, options, config)),
    socket: socket === null ? null : { isSocket: socket.kind === "socket", mode: socket.mode, uid: socket.uid },
    systemd,
    tether: await readTether(system, config, names, systemd !== null),
    heartbeat: null,
    witness: null,
    clevisAnswers: await clevisAnswers(system),
    mending: early.mending,
  };
}

/** What cannot be read is told by bind. */
async function knownServers(
  system: Pick<System, "readFile" | "listDirectory">,
  stateFolder: string,
): Promise<readonly EnrolledServer[]> {
  try {
    return await listServers(system, stateFolder);
  } catch (error) {
    if (error instanceof NightlatchError) return [];
    throw error;
  }
}

/** Makes an entry for a volume that crypttab does not have; its line is 0. */
export function strangerEntry(device: string): CrypttabEntry {
  return { line: 0, volume: device, device, key: null, options: [], fields: [device, device] };
}

/**
 * Looks at one volume: its header, its bindings, and what would open it. What cannot be read is
 * told in `facts.error`, not thrown.
 */
export async function lookAt(
  system: System,
  options: CheckOptions,
  entry: CrypttabEntry,
  { config, mounts: allMounts, early, isChanging }: Surroundings,
): Promise<LookedAt> {
  const device = headerPathOf(entry);
  const configured = config.volumes.get(entry.volume);
  const program = configured?.command?.argv[0];
  const mounts = allMounts.filter((mount) => mountsMapping(mount, entry.volume));
  const key = entry.key === null ? null : placeOf(entry.key);
  const own = {
    entry,
    device,
    command: program === undefined ? null : { program, isThere: await isProgram(system, program) },
    deadlineMs: configured?.timeoutMs ?? config.timeoutMs,
    hasKey: key === null || key.device !== null ? null : (await system.stat(devicePathOf(key.path))) !== null,
    mounts,
  };
  const stage = { entry, mounts, beneath: early.beneath, inside: early.next?.volumes ?? [] };
  try {
    const status = await volumeStatus(system, device, {
      ...options,
      tries: options.tries !== false,
      isChanging,
      ...(entry.line === 0 ? {} : { name: entry.volume }),
      trust: configured?.trust ?? config.trust,
    });
    const uuid = status.uuid.toLowerCase();
    const facts = earlyFacts(whyEarly({ ...stage, uuid }), { entry, uuid }, early, options.crypttab);
    const bindings = status.bindings.map((binding) =>
      bindingFacts(system, early, facts?.boot == null ? null : { device, luksVersion: status.version }, binding),
    );
    return {
      status,
      facts: {
        ...own,
        error: null,
        uuid: status.uuid,
        early: facts,
        bindings: await Promise.all(bindings),
        noPassphrase: status.noPassphrase,
        leftovers: status.leftovers,
        warnings: status.warnings,
      },
    };
  } catch (error) {
    if (!(error instanceof NightlatchError)) throw error;
    const facts = earlyFacts(whyEarly({ ...stage, uuid: null }), { entry, uuid: null }, early, options.crypttab);
    const unknown = { uuid: null, early: facts, bindings: [], noPassphrase: null, leftovers: [], warnings: [] };
    return { status: null, facts: { ...own, error, ...unknown } };
  }
}

async function bindingFacts(
  system: System,
  early: EarlyBoot,
  volume: { readonly device: string; readonly luksVersion: 1 | 2 } | null,
  { binding, opens, error, rotated: keys }: BindingStatus,
): Promise<BindingFacts> {
  const { next } = early;
  const { kind, urls, target, needsPerson, token } = binding;
  const lacks =
    volume === null || next === null
      ? []
      : await lacksOf(system, next, early, binding, { ...volume, cmdline: next.entry.cmdline });
  const asksNetwork = urls.length > 0;
  const { keyslots, id } = token;
  const rotated = keys.map(({ url }) => url);
  const measured = opens === null && error === null ? [] : await measuredFacts(system, next, binding.measured);
  return {
    text: formatBinding(binding),
    asksNetwork,
    keyslots,
    opens,
    error,
    urls,
    target,
    needsPerson,
    rotated,
    token: id,
    kind,
    measured,
    lacks,
  };
}

const SEARCH_FOLDERS = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];

async function isProgram(system: Pick<System, "stat">, program: string): Promise<boolean> {
  const paths = program.startsWith("/") ? [program] : SEARCH_FOLDERS.map((folder) => `${folder}/${program}`);
  const facts = await Promise.all(paths.map((path) => system.stat(path)));
  return facts.some((found) => found?.kind === "file" && (found.mode & 0o111) !== 0);
}

/**
 * As the agent judges its own files and the programs that it runs, and fstab by the same measure.
 */
async function findExposed(system: System, options: CheckOptions, config: AgentConfig) {
  const { crypttab, stateFolder: state, fstab } = options;
  const programs = [...config.volumes.values()].flatMap(({ command }) => command?.argv[0] ?? []);
  const agents = await listExposed(system, { crypttab, config: options.config, state, programs });
  const inFstab = await system.findExposures([{ path: fstab, isSecret: false }]);
  const others = inFstab.filter(({ path }) => !agents.some((told) => told.path === path));
  const all = [
    ...agents.map((exposure) => ({ ...exposure, isAgents: true })),
    ...others.map((exposure) => ({ ...exposure, isAgents: false })),
  ].map((exposure) => ({ ...exposure, refusal: describeExposure(exposure) }));
  return {
    exposed: all.filter(({ flaw }) => flaw !== "read"),
    readableIdentity: all.find(({ flaw }) => flaw === "read") ?? null,
  };
}

async function readConfig(system: Pick<System, "readFileIfPresent">, path: string) {
  const text = (await system.readFileIfPresent(path, AGENT_CONFIG_LIMIT_BYTES)) ?? Buffer.alloc(0);
  try {
    return { config: parseAgentConfig(text, path), error: null };
  } catch (error) {
    if (!(error instanceof NightlatchError)) throw error;
    return { config: configInPlaceOf(text), error };
  }
}
