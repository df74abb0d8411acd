import { describeExposure, listExposed } from "../agent/exposed.ts";
import { luksBeneath } from "../boot/luks-beneath.ts";
import type { BindingFacts, CheckFacts, VolumeFacts } from "../check/facts.ts";
import { isError, NightlatchError } from "../core/errors.ts";
import { AGENT_CONFIG_LIMIT_BYTES, type AgentConfig, DEFAULT_AGENT_CONFIG } from "../formats/agent-config.ts";
import { parseAgentConfig } from "../formats/agent-config-file.ts";
import {
  CRYPTTAB_LIMIT_BYTES,
  type CrypttabEntry,
  findOption,
  headerPathOf,
  parseCrypttab,
} from "../formats/crypttab.ts";
import { FSTAB_LIMIT_BYTES, type FstabEntry, parseFstab } from "../formats/fstab.ts";
import { listTokens } from "../luks/bindings.ts";
import { readVolumeHeader } from "../luks/header.ts";
import { listSlots } from "../luks/slots.ts";
import type { System } from "../system/port.ts";
import { formatBinding } from "./binding.ts";
import { readSystemd } from "./check-systemd.ts";
import { type BindingStatus, volumeStatus } from "./volume-status.ts";

export interface CheckWish {
  readonly crypttab: string;
  readonly fstab: string;
  readonly config: string;
  readonly socket: string;
  readonly stateFolder: string;
  readonly signal: AbortSignal;
  /** Of crypttab, which to look at; all where it is absent. */
  readonly only?: ReadonlySet<string>;
}

/** Looks at everything, changes nothing; servers are asked and keyslots tried. @throws NightlatchError file/* but file/missing */
export async function collectFacts(system: System, wish: CheckWish): Promise<CheckFacts> {
  const crypttab = parseCrypttab(await readIfThere(system, wish.crypttab, CRYPTTAB_LIMIT_BYTES));
  const mounts = parseFstab(await readIfThere(system, wish.fstab, FSTAB_LIMIT_BYTES));
  const { config, error: configError } = await readConfig(system, wish.config);
  const beneath = await findBeneathRoot(system);
  const looked = crypttab.entries.filter((entry) => isLuks(entry) && wish.only?.has(entry.volume) !== false);
  // Side by side: of many volumes whose server is silent each would take its whole deadline.
  const volumes = await Promise.all(
    looked.map((entry) => readVolume(system, wish, entry, { config, mounts, beneath })),
  );
  const socket = await system.stat(wish.socket);
  const { crypttab: crypttabFile, fstab, config: configFile } = wish;
  return {
    agentSocket: wish.socket,
    files: { crypttab: crypttabFile, fstab, config: configFile },
    crypttabFaults: crypttab.faults,
    volumes,
    configError,
    strangers: [...config.volumes.keys()].filter((name) => !crypttab.entries.some(({ volume }) => volume === name)),
    ...(await findExposed(system, wish, config)),
    socket: socket === null ? null : { isSocket: socket.kind === "socket", mode: socket.mode, uid: socket.uid },
    systemd: await readSystemd(system, new Set(crypttab.entries.flatMap(({ key }) => key ?? []))),
  };
}

/** Swap with a new key at each boot, and what is no LUKS at all, have nothing to check. */
function isLuks(entry: CrypttabEntry): boolean {
  return (
    findOption(entry, "plain", "swap", "tmp", "tcrypt", "bitlk") === undefined &&
    !/^\/dev\/u?random$/.test(entry.key ?? "")
  );
}

interface MachineAround {
  readonly config: AgentConfig;
  readonly mounts: readonly FstabEntry[];
  /** UUIDs of LUKS volumes, in lower case. */
  readonly beneath: ReadonlySet<string>;
}

/** What the running root and /usr lie on; nothing where that cannot be told (a container, say). */
async function findBeneathRoot(system: Pick<System, "run">): Promise<ReadonlySet<string>> {
  try {
    const uuids = [...(await luksBeneath(system, "/")), ...(await luksBeneath(system, "/usr"))];
    return new Set(uuids.map((uuid) => uuid.toLowerCase()));
  } catch (error) {
    if (!(error instanceof NightlatchError)) throw error;
    return new Set();
  }
}

async function readVolume(
  system: System,
  wish: CheckWish,
  entry: CrypttabEntry,
  { config, mounts, beneath }: MachineAround,
): Promise<VolumeFacts> {
  const device = headerPathOf(entry);
  const configured = config.volumes.get(entry.volume);
  const program = configured?.command?.argv[0];
  const around = {
    entry,
    device,
    command: program === undefined ? null : { program, isThere: await isProgram(system, program) },
    deadlineMs: configured?.deadlineMs ?? config.deadlineMs,
    hasKey: entry.key === null ? null : (await system.stat(entry.key)) !== null,
    mounts: mounts.filter(({ source }) => source === `/dev/mapper/${entry.volume}`),
  };
  try {
    const status = await volumeStatus(system, device, {
      ...wish,
      tries: true,
      name: entry.volume,
      trust: configured?.trust ?? config.trust,
    });
    const header = await readVolumeHeader(system, device);
    const named = new Set(listTokens(header).flatMap(({ keyslots }) => keyslots));
    return {
      ...around,
      error: null,
      uuid: status.uuid,
      beneathRoot: beneath.has(status.uuid.toLowerCase()),
      bindings: status.bindings.map(bindingFacts),
      hasPassphrase: listSlots(header).some(({ number, opensVolume }) => opensVolume && !named.has(number)),
      leftovers: status.leftovers,
      warnings: status.warnings,
    };
  } catch (error) {
    if (!(error instanceof NightlatchError)) throw error;
    const unknown = { uuid: null, beneathRoot: false, bindings: [], hasPassphrase: null, leftovers: [], warnings: [] };
    return { ...around, error, ...unknown };
  }
}

function bindingFacts({ binding, opens, error }: BindingStatus): BindingFacts {
  const { keyslots } = binding.token;
  return { text: formatBinding(binding), asksNetwork: binding.urls.length > 0, keyslots, opens, error };
}

const SEARCH_FOLDERS = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];

async function isProgram(system: Pick<System, "stat">, program: string): Promise<boolean> {
  const paths = program.startsWith("/") ? [program] : SEARCH_FOLDERS.map((folder) => `${folder}/${program}`);
  const facts = await Promise.all(paths.map((path) => system.stat(path)));
  return facts.some((found) => found?.kind === "file" && (found.mode & 0o111) !== 0);
}

/** As the agent judges its own files and the programs that it runs, and fstab by the same measure. */
async function findExposed(system: System, wish: CheckWish, config: AgentConfig) {
  const { crypttab, stateFolder: state, fstab } = wish;
  const programs = [...config.volumes.values()].flatMap(({ command }) => command?.argv[0] ?? []);
  const agents = await listExposed(system, { crypttab, config: wish.config, state, programs });
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

async function readConfig(system: Pick<System, "readFile">, path: string) {
  const text = await readIfThere(system, path, AGENT_CONFIG_LIMIT_BYTES);
  try {
    return { config: parseAgentConfig(text, path), error: null };
  } catch (error) {
    if (!(error instanceof NightlatchError)) throw error;
    return { config: DEFAULT_AGENT_CONFIG, error };
  }
}

async function readIfThere(system: Pick<System, "readFile">, path: string, limitBytes: number): Promise<Buffer> {
  try {
    return await system.readFile(path, limitBytes);
  } catch (error) {
    if (isError(error, "file/missing")) return Buffer.alloc(0);
    throw error;
  }
}
