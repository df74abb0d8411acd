// @ts-nocheck
import { isError, NightlatchError } from "../core/errors.ts";
import {
  AGENT_CONFIG_LIMIT_BYTES,
  type AgentConfig,
  configInPlaceOf,
  DEFAULT_AGENT_CONFIG,
  DEFAULT_TIMEOUT_MS,
} from "../formats/own/agent-config.ts";
import type { VolumeRecord } from "../formats/own/volume-record.ts";
import { refuseExposed } from "../host/exposed.ts";
import type { System } from "../system/port.ts";
import type { Aftermath, AftermathPower } from "./aftermath.ts";
import { type AnswerPower, answerVolume } from "./answer.ts";
import { orEnd } from "./deadline.ts";
import { type KeyAnswer, type KeySocketOptions, openKeySocket } from "./key-socket.ts";
import { makeVolumeReader } from "./volume-reader.ts";

type ServicePower = AnswerPower & AftermathPower & Pick<System, "findExposures">;

interface ServiceOptions {
  readonly listen: KeySocketOptions["listen"];
  readonly crypttab: string;
  /** Path of agent.toml, which may be absent. */
  readonly config: string;
  /** Folder of what the machine keeps about itself, which may be absent. */
  readonly state: string;
  /**
   * After so long without a connection the agent ends, so that no memory that held keys stays.
   * null: never.
   */
  readonly idleMs: number | null;
  readonly log: ServiceLog;
}

/** Writes one line of the journal. */
export type ServiceLog = (level: "info" | "warning", text: string) => void;

interface ServiceCount {
  readonly sent: number;
  readonly refused: number;
}

/**
 * Answers the key socket until the signal aborts or the idle time is over.
 * @throws NightlatchError agent/socket
 */
export async function serveKeys(
  system: ServicePower,
  options: ServiceOptions,
  signal: AbortSignal,
): Promise<ServiceCount> {
  const { log } = options;
  const stop = new AbortController();
  const count = { sent: 0, refused: 0 };
  const idle = new IdleClock(options.idleMs, () => stop.abort());
  let connections = 0;
  // With a read that never returns this process could not end, and systemd would start no other
  // while it has not.
  const lookIdle = () => idle.set(connections === 0 && reader.pending() === 0 && aftermath.size === 0);
  const aftermath = new Set<Promise<void>>();
  const over = new AbortController();
  const later: Later = (volume, work) => {
    const told: ServiceLog = (level, text) => log(level, `${volume}: ${text}`);
    const task = import("./aftermath.ts")
      .then((loaded) => work(loaded, { stateFolder: options.state, signal: over.signal, log: told }))
      .catch((error: unknown) => told("warning", describe(error)))
      .finally(() => {
        aftermath.delete(task);
        lookIdle();
      });
    aftermath.add(task);
    lookIdle();
  };
  const reader = makeVolumeReader(system, lookIdle);
  const guarded: ServicePower = { ...system, readAt: reader.readAt };
  const ended = new Promise<void>((resolve) => {
    for (const end of [signal, stop.signal]) end.addEventListener("abort", () => resolve());
    if (signal.aborted) resolve();
  });
  const socket = await openKeySocket({
    listen: options.listen,
    onStranger: (why) => log("warning", `a connection was closed without a key: ${why}`),
    onBusy: (open) => {
      connections = open;
      lookIdle();
    },
    answer: async (volume, gone) => {
      const answer = await answerAndLog(guarded, volume, options, later, gone);
      count[answer === null ? "refused" : "sent"]++;
      return answer;
    },
  });
  lookIdle(); // of those who waited already one may be served by now
  await ended;
  idle.stop();
  // In the same turn of the event loop as the idle clock, which runs only while nobody is being
  // served: nobody can have been accepted in between, and who comes from here on waits in the
  // kernel's queue, for which systemd starts the agent anew.
  await socket.close();
  over.abort();
  await Promise.all(aftermath);
  return count;
}

/**
 * Does what is left to do about a volume, beside what comes next. The process stays until it is
 * done.
 */
type Later = (
  volume: string,
  work: (loaded: typeof import("./aftermath.ts"), after: Aftermath) => Promise<void>,
) => void;

/** Beyond the deadline, for the sources to say why there is no key. */
const LAST_WORD_MS = 500;
const ADVICE_MS = 1000;

/** Settles in bounded time, whatever hangs: each thing that is waited for has its end here. */
async function answerAndLog(
  system: ServicePower,
  volume: string,
  { crypttab, config: path, state, log }: ServiceOptions,
  later: Later,
  gone: AbortSignal,
): Promise<KeyAnswer | null> {
  const startMs = system.monotonicMs();
  const named = printable(volume);
  const took = () => `${((system.monotonicMs() - startMs) / 1000).toFixed(3)} s`;
  const over = new AbortController();
  const { signal } = over;
  const onGone = () => over.abort();
  gone.addEventListener("abort", onGone, { once: true });
  if (gone.aborted) onGone();
  const inTime = <T>(work: Promise<T>, endMs: number, what: string) => orEnd(system, work, { endMs, signal }, what);
  try {
    // Beside all that is read until the first server is asked: a boot waits.
    const safe = refuseExposed(system, { crypttab, config: path, state, programs: [] });
    safe.catch(() => {}); // thrown where it is waited for
    const reading = readConfig(system, path, log);
    const config = await inTime(reading, startMs + DEFAULT_TIMEOUT_MS, `${path} could not be read in time`);
    const endMs = startMs + (config.volumes.get(volume)?.timeoutMs ?? config.timeoutMs);
    const tell = (text: string) => log("info", `${named}: ${text}`);
    const onOther = (record: VolumeRecord) =>
      later(named, ({ tellServers }, after) => tellServers(system, record, after));
    const work = answerVolume(system, volume, { crypttab, config, state, safe, endMs, log: tell, onOther }, signal);
    const answer = inTime(work, endMs + LAST_WORD_MS, `${crypttab} could not be read in time`);
    // It came when nobody waited any more.
    answer.catch(() => work.then(({ secret }) => secret.wipe()).catch(() => {}));
    const { secret, source, newUse, uuid } = await answer;
    const tookText = took();
    const onEnd = (taken: boolean) => {
      if (taken) {
        tell(`key sent after ${tookText}, from ${source.name}`);
        later(named, async ({ proveRelease, rememberUse }, after) => {
          if (newUse !== null) await rememberUse(system, newUse.use, newUse.device, after);
          if (uuid !== null) await proveRelease(system, uuid, { ...after, witness: config.witness });
        });
      } else log("warning", `${named}: key found after ${tookText}, from ${source.name}, but nobody took it`);
    };
    return { secret, onEnd };
  } catch (error) {
    if (gone.aborted) log("info", `${named}: given up after ${took()}`);
    else {
      log("warning", `${named}: no key after ${took()}: ${describe(error)}`);
      if (isError(error, "pin/locked")) {
        const looking = adviseUnlock(system, state, error);
        const advice = await inTime(looking, system.monotonicMs() + ADVICE_MS, "").catch(() => null);
        if (advice !== null) log("warning", `${named}: ${advice}`);
      }
    }
    return null;
  } finally {
    gone.removeEventListener("abort", onGone);
    over.abort();
  }
}

/**
 * Says what to do at the server that has locked this machine; null where this machine is not known
 * by name there.
 */
async function adviseUnlock(system: ServicePower, state: string, refusal: NightlatchError): Promise<string | null> {
  try {
    const { listServers } = await import("../pins/latch/machine.ts");
    const servers = await listServers(system, state);
    const server = servers.find(({ url }) => refusal.message.startsWith(`${new URL(url).host} `));
    return server === undefined ? null : `to release it, on the key server: nightlatch machine unlock ${server.name}`;
  } catch {
    return null; // an advice is not worth a failure
  }
}

/** A slip in the file must not keep volumes shut whose headers say how they open. */
async function readConfig(system: Pick<System, "readFile">, path: string, log: ServiceLog): Promise<AgentConfig> {
  let text: Buffer | null = null;
  try {
    text = await system.readFile(path, AGENT_CONFIG_LIMIT_BYTES);
    if (saysNothing(text)) return DEFAULT_AGENT_CONFIG; // as the package installs it
    // The TOML parser costs milliseconds to load, which only those who have something in the file
    // need to pay.
    const { parseAgentConfig } = await import("../formats/own/agent-config-file.ts");
    return parseAgentConfig(text, path);
  } catch (error) {
    if (isError(error, "file/missing")) return DEFAULT_AGENT_CONFIG;
    log("warning", describe(error));
    return configInPlaceOf(text);
  }
}

/**
 * Nothing but comments and empty lines, in plain ASCII: what TOML makes of anything else is the
 * parser's business.
 */
function saysNothing(text: Buffer): boolean {
  return /^(?:[ \t]*(?:#[\t\x20-\x7e]*)?\r?\n)*$/.test(text.toString("latin1"));
}

function describe(error: unknown): string {
  // Of an internal error only the kind: its message could hold what a peer sent.
  if (!(error instanceof NightlatchError)) return `internal error (${error instanceof Error ? error.name : "unknown"})`;
  const rest = [error.meaning, error.remedy].filter((text) => text !== undefined).join(" ");
  return `${error.message} [${error.code}]${rest === "" ? "" : `. ${rest}`}`;
}

/** A name that came over the socket may hold what would forge a line of the journal. */
function printable(name: string): string {
  return /^[\x21-\x7e]+$/.test(name) ? name : JSON.stringify(name).replaceAll(/[^\x20-\x7e]/g, "?");
}

/** Calls back when it was set to idle for long enough, until it is stopped. */
class IdleClock {
  #idleMs: number | null;
  readonly #onEnd: () => void;
  #timer: NodeJS.Timeout | undefined;

  constructor(idleMs: number | null, onEnd: () => void) {
    this.#idleMs = idleMs;
    this.#onEnd = onEnd;
  }

  set(idle: boolean): void {
    clearTimeout(this.#timer);
    if (idle && this.#idleMs !== null) this.#timer = setTimeout(this.#onEnd, this.#idleMs);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#idleMs = null;
  }
}
