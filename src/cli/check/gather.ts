import { isError, NightlatchError } from "../../core/errors.ts";
import { AGENT_CONFIG_LIMIT_BYTES, type AgentConfig, DEFAULT_AGENT_CONFIG } from "../../formats/agent-config.ts";
import { parseAgentConfig } from "../../formats/agent-config-file.ts";
import { CRYPTTAB_LIMIT_BYTES, type CrypttabEntry, headerPathOf, parseCrypttab } from "../../formats/crypttab.ts";
import { FSTAB_LIMIT_BYTES, type FstabEntry, mountsOf, parseFstab } from "../../formats/fstab.ts";
import type { System } from "../../system/port.ts";
import { type StatusWish, volumeStatus } from "../volume-status.ts";
import type { AgentFacts, CheckFacts, PathFacts, VolumeFacts } from "./facts.ts";
import { gatherUnits } from "./gather-units.ts";

export interface CheckPaths {
  readonly crypttab: string;
  readonly fstab: string;
  readonly config: string;
  readonly socket: string;
}

/** Reads everything and changes nothing. @throws NightlatchError file/* where crypttab or fstab cannot be read though they are there */
export async function gatherFacts(system: System, paths: CheckPaths, wish: StatusWish): Promise<CheckFacts> {
  const { entries, faults } = parseCrypttab(await readOrEmpty(system, paths.crypttab, CRYPTTAB_LIMIT_BYTES));
  const fstab = parseFstab(await readOrEmpty(system, paths.fstab, FSTAB_LIMIT_BYTES));
  const agent = await gatherAgent(system, paths);
  const volumes: VolumeFacts[] = [];
  for (const entry of entries) volumes.push(await gatherVolume(system, entry, agent.config, fstab, wish));
  const keyPaths = volumes.flatMap(({ key }) => (key === null || key.path === paths.socket ? [] : [key.path]));
  return {
    crypttab: { path: paths.crypttab, faults },
    fstab,
    agent,
    volumes,
    state: await gatherState(system, wish.stateFolder),
    units: await gatherUnits(system, keyPaths, wish.signal),
  };
}

async function gatherVolume(
  system: System,
  entry: CrypttabEntry,
  config: AgentConfig,
  fstab: readonly FstabEntry[],
  wish: StatusWish,
): Promise<VolumeFacts> {
  const configured = config.volumes.get(entry.volume);
  const common = {
    entry,
    command: configured?.command ?? null,
    deadlineMs: configured?.deadlineMs ?? config.deadlineMs,
    key: await findKey(system, entry),
    mounts: mountsOf(fstab, entry.volume),
  };
  try {
    return { ...common, status: await volumeStatus(system, headerPathOf(entry), wish), error: null };
  } catch (error) {
    if (error instanceof NightlatchError) return { ...common, status: null, error };
    throw error;
  }
}

/** crypttab(5): the third field, else a file of the volume's name in two folders. A path that is named counts though nothing is there. */
async function findKey(system: Pick<System, "stat">, { key, volume }: CrypttabEntry): Promise<VolumeFacts["key"]> {
  if (key !== null) return { path: key, kind: (await system.stat(key))?.kind ?? null };
  for (const folder of ["/etc/cryptsetup-keys.d", "/run/cryptsetup-keys.d"]) {
    const path = `${folder}/${volume}.key`;
    const facts = await system.stat(path);
    if (facts !== null) return { path, kind: facts.kind };
  }
  return null;
}

async function gatherAgent(system: System, { config: configPath, socket }: CheckPaths): Promise<AgentFacts> {
  let config = DEFAULT_AGENT_CONFIG;
  let configError: NightlatchError | null = null;
  try {
    config = parseAgentConfig(await system.readFile(configPath, AGENT_CONFIG_LIMIT_BYTES), configPath);
  } catch (error) {
    if (!(error instanceof NightlatchError)) throw error;
    if (error.code !== "file/missing") configError = error;
  }
  return {
    socketPath: socket,
    socket: await system.stat(socket),
    socketFolder: await system.stat(folderOf(socket)),
    configPath,
    configFile: await system.stat(configPath),
    configError,
    config,
    missingPrograms: await findMissing(system, config),
  };
}

/** As run.ts and docs/format/agent-config.md have it. */
const SEARCH_PATH = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];

async function findMissing(system: Pick<System, "stat">, { volumes }: AgentConfig): Promise<string[]> {
  const programs = new Set([...volumes.values()].flatMap(({ command }) => command?.argv[0] ?? []));
  const missing: string[] = [];
  for (const program of programs) {
    const places = program.startsWith("/") ? [program] : SEARCH_PATH.map((folder) => `${folder}/${program}`);
    const facts = await Promise.all(places.map((path) => system.stat(path)));
    if (!facts.some((found) => found?.kind === "file" && (found.mode & 0o111) !== 0)) missing.push(program);
  }
  return missing;
}

async function gatherState(system: System, folder: string): Promise<PathFacts[]> {
  const names = await system.listDirectory(folder);
  const paths = [folder, ...names.map((name) => `${folder}/${name}`)];
  const facts = await Promise.all(paths.map(async (path) => ({ path, facts: await system.stat(path) })));
  return facts.flatMap(({ path, facts: found }) => (found === null ? [] : [{ path, facts: found }]));
}

async function readOrEmpty(system: Pick<System, "readFile">, path: string, limitBytes: number): Promise<Buffer> {
  try {
    return await system.readFile(path, limitBytes);
  } catch (error) {
    if (isError(error, "file/missing")) return Buffer.alloc(0);
    throw error;
  }
}

function folderOf(path: string): string {
  return path.slice(0, Math.max(1, path.lastIndexOf("/")));
}
