import { isError, NightlatchError } from "../core/errors.ts";
import { AGENT_CONFIG_LIMIT_BYTES, type AgentConfig, DEFAULT_AGENT_CONFIG } from "../formats/agent-config.ts";
import type { System } from "../system/port.ts";
import { type AnswerPower, answerVolume } from "./answer.ts";
import { type KeyAnswer, type KeySocketOptions, openKeySocket } from "./key-socket.ts";

export type ServicePower = AnswerPower & Pick<System, "listDirectory">;

export interface ServiceOptions {
  readonly listen: KeySocketOptions["listen"];
  readonly crypttab: string;
  /** Path of agent.toml, which may be absent. */
  readonly config: string;
  /** Folder of what the machine keeps about itself, which may be absent. */
  readonly state: string;
  /** Ends after so long without a connection, so that no memory that held keys stays; null: never. */
  readonly idleMs: number | null;
  readonly log: ServiceLog;
}

export type ServiceLog = (level: "info" | "warning", text: string) => void;

export interface ServiceCount {
  readonly sent: number;
  readonly refused: number;
}

/** Answers the key socket until the signal aborts or the idle time is over. @throws NightlatchError agent/socket */
export async function serveKeys(
  power: ServicePower,
  options: ServiceOptions,
  signal: AbortSignal,
): Promise<ServiceCount> {
  const { log } = options;
  const stop = new AbortController();
  const count = { sent: 0, refused: 0 };
  const idle = new IdleClock(options.idleMs, () => stop.abort());
  const ended = new Promise<void>((resolve) => {
    for (const end of [signal, stop.signal]) end.addEventListener("abort", () => resolve());
    if (signal.aborted) resolve();
  });
  idle.set(true);
  const socket = await openKeySocket({
    listen: options.listen,
    onStranger: (why) => log("warning", `a connection was closed without a key: ${why}`),
    onBusy: (connections) => idle.set(connections === 0),
    answer: async (volume, gone) => {
      const answer = await answerAndLog(power, volume, options, gone);
      count[answer === null ? "refused" : "sent"]++;
      return answer;
    },
  });
  await ended;
  idle.set(false);
  await socket.close();
  return count;
}

async function answerAndLog(
  power: ServicePower,
  volume: string,
  { crypttab, config, state, log }: ServiceOptions,
  signal: AbortSignal,
): Promise<KeyAnswer | null> {
  const startMs = power.monotonicMs();
  const named = printable(volume);
  const took = () => `${((power.monotonicMs() - startMs) / 1000).toFixed(3)} s`;
  try {
    const settings = {
      crypttab,
      config: await readConfig(power, config, log),
      log: (text: string) => log("info", `${named}: ${text}`),
    };
    const { secret, source } = await answerVolume(power, volume, settings, signal);
    const tookText = took();
    const onEnd = (taken: boolean) => {
      if (taken) log("info", `${named}: key sent after ${tookText}, from ${source.name}`);
      else log("warning", `${named}: key found after ${tookText}, from ${source.name}, but nobody took it`);
    };
    return { secret, onEnd };
  } catch (error) {
    if (signal.aborted) log("info", `${named}: given up after ${took()}`);
    else {
      log("warning", `${named}: no key after ${took()}: ${describe(error)}`);
      const advice = isError(error, "pin/locked") ? await adviseUnlock(power, state, error) : null;
      if (advice !== null) log("warning", `${named}: ${advice}`);
    }
    return null;
  }
}

/** What to do at the server that has locked this machine; null where it is not known by name there. */
async function adviseUnlock(power: ServicePower, state: string, refusal: NightlatchError): Promise<string | null> {
  try {
    const { listServers } = await import("../pins/machine.ts");
    const servers = await listServers(power, state);
    const server = servers.find(({ url }) => refusal.message.startsWith(`${new URL(url).host} `));
    return server === undefined ? null : `to release it, on the key server: nightlatch machine unlock ${server.name}`;
  } catch {
    return null; // an advice is not worth a failure
  }
}

/** A slip in the file must not keep volumes shut whose headers say how they open. */
async function readConfig(power: Pick<System, "readFile">, path: string, log: ServiceLog): Promise<AgentConfig> {
  try {
    const text = await power.readFile(path, AGENT_CONFIG_LIMIT_BYTES);
    // The TOML parser costs milliseconds to load, which only those who have the file need to pay.
    const { parseAgentConfig } = await import("../formats/agent-config-file.ts");
    return parseAgentConfig(text, path);
  } catch (error) {
    if (!isError(error, "file/missing")) log("warning", describe(error));
    return DEFAULT_AGENT_CONFIG;
  }
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

/** Calls back when it was set to idle for long enough. */
class IdleClock {
  readonly #idleMs: number | null;
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
}
