import { isError, NightlatchError } from "../core/errors.ts";
import type { AgentConfig } from "../formats/agent-config.ts";
import {
  CRYPTTAB_LIMIT_BYTES,
  type CrypttabEntry,
  devicePathOf,
  findOption,
  parseCrypttab,
} from "../formats/crypttab.ts";
import { readVolumeHeader, type VolumeHeader } from "../luks/header.ts";
import type { System } from "../system/port.ts";
import { bindingSources } from "./binding-source.ts";
import { commandSource } from "./command-source.ts";
import { type RacePower, raceSources, type Won } from "./race.ts";
import type { KeySource } from "./source.ts";

export type AnswerPower = RacePower & Pick<System, "readAt" | "run" | "request">;

export interface AnswerSettings {
  /** Path of the crypttab. */
  readonly crypttab: string;
  readonly config: AgentConfig;
  /** Told what happens on the way, in words for the journal. */
  readonly log: (text: string) => void;
}

/**
 * The key of a volume of crypttab. It settles within the deadline that the configuration gives, whatever happens.
 * @throws NightlatchError agent/*, and what the volume's header (luks/*) and its sources (pin/*, …) say
 */
export async function answerVolume(
  power: AnswerPower,
  volume: string,
  settings: AnswerSettings,
  signal: AbortSignal,
): Promise<Won> {
  const entry = await findEntry(power, volume, settings.crypttab);
  const configured = settings.config.volumes.get(volume);
  const endMs = power.monotonicMs() + (configured?.deadlineMs ?? settings.config.deadlineMs);
  const sources =
    configured?.command == null
      ? await sourcesOfHeader(power, entry, { endMs, signal, log: settings.log })
      : [commandSource(power, configured.command)];
  const said = new Map<KeySource, string>();
  return raceSources(power, sources, {
    endMs,
    signal,
    onFailure: (failed, error, again) => {
      const text = error instanceof NightlatchError ? `${error.message} [${error.code}]` : "internal error";
      if (said.get(failed) === text) return; // each attempt fails alike: once is enough
      said.set(failed, text);
      settings.log(`${failed.name}: ${text}${again ? "; trying again" : ""}`);
    },
  });
}

async function findEntry(power: Pick<System, "readFile">, volume: string, crypttab: string): Promise<CrypttabEntry> {
  const { entries } = parseCrypttab(await power.readFile(crypttab, CRYPTTAB_LIMIT_BYTES));
  const entry = entries.find((candidate) => candidate.volume === volume);
  if (entry !== undefined) return entry;
  throw new NightlatchError("agent/unknown-volume", `${crypttab} has no volume of that name`, {
    remedy: "The agent opens what crypttab names. See: nightlatch check",
  });
}

async function sourcesOfHeader(power: AnswerPower, entry: CrypttabEntry, wait: Wait): Promise<KeySource[]> {
  const device = headerPathOf(entry);
  const sources = bindingSources(power, await orEnd(power, waitForHeader(power, device, wait), device, wait));
  if (sources.length > 0) return sources;
  throw new NightlatchError("agent/no-binding", `${device} has no binding`, {
    remedy: `Bind it: nightlatch bind ${device}; or name a command for it in agent.toml.`,
  });
}

/** Where the header is: on the device, or apart from it (`header=`). */
function headerPathOf(entry: CrypttabEntry): string {
  const apart = findOption(entry, "header")?.value;
  if (apart == null) return devicePathOf(entry.device);
  if (apart.startsWith("/") && !apart.includes(":")) return apart;
  throw new NightlatchError(
    "luks/unsupported",
    `the header of ${entry.volume} lies on another device (header=${apart})`,
    {
      remedy: "Give header= a path that is there at boot without a mount of its own.",
    },
  );
}

interface Wait {
  readonly endMs: number;
  readonly signal: AbortSignal;
  readonly log: (text: string) => void;
}

const LOOK_AGAIN_MS = 250;

/** A disk may come late, or be busy for a moment. */
async function waitForHeader(power: AnswerPower, device: string, wait: Wait): Promise<VolumeHeader> {
  for (let said = false; ; said = true) {
    try {
      return await readVolumeHeader(power, device);
    } catch (error) {
      if (!isError(error, "file/missing") && !isError(error, "file/io")) throw error;
      const leftMs = wait.endMs - power.monotonicMs();
      if (leftMs <= 0 || wait.signal.aborted) throw error;
      if (!said) wait.log(`${error.message}; waiting for it`);
      await power.sleep(Math.min(LOOK_AGAIN_MS, leftMs), wait.signal);
    }
  }
}

/** A read from a dying disk may never return: the prompt must come all the same. */
function orEnd<T>(power: AnswerPower, work: Promise<T>, device: string, { endMs, signal }: Wait): Promise<T> {
  const end = power.sleep(Math.max(0, endMs - power.monotonicMs()), signal).then(() => {
    throw new NightlatchError("agent/deadline", `${device} could not be read in time`);
  });
  end.catch(() => {}); // the work is done by then
  return Promise.race([work, end]);
}
