// @ts-nocheck
import { isError, NightlatchError } from "../core/errors.ts";
import type { AgentConfig, KeyCommand } from "../formats/own/agent-config.ts";
import type { VolumeRecord } from "../formats/own/volume-record.ts";
import {
  CRYPTTAB_LIMIT_BYTES,
  type CrypttabEntry,
  devicePathOf,
  findOption,
  parseCrypttab,
} from "../formats/systemd/crypttab.ts";
import { refuseExposedProgram } from "../host/exposed.ts";
import { judgeBound, refusalOf } from "../luks/bound/bound.ts";
import { isNewUse, type Use, useOf } from "../luks/bound/changes.ts";
import { readVolumeHeader, type VolumeHeader } from "../luks/header/header.ts";
import type { PinPower } from "../pins/pin.ts";
import type { System } from "../system/port.ts";
import { bindingSources } from "./binding-source.ts";
import { commandSource } from "./command-source.ts";
import { orEnd, type Wait } from "./deadline.ts";
import { type RacePower, raceSources, type Won } from "./race.ts";
import { withoutRefused } from "./refused-servers.ts";
import type { KeySource } from "./source.ts";

/** What it takes to find a volume's key. */
export type AnswerPower = RacePower & Pick<System, "readAt" | "listDirectory"> & PinPower;

interface AnswerOptions {
  /** Path of the crypttab. */
  readonly crypttab: string;
  readonly config: AgentConfig;
  /** Folder of what the machine keeps about itself, which may be absent. */
  readonly state: string;
  /** Rejects where one of these could be changed by others: nothing is asked or run before. */
  readonly safe: Promise<void>;
  /** When the last source is given up, on the clock of `monotonicMs`. */
  readonly endMs: number;
  /** Told what happens on the way, in words for the journal. */
  readonly log: (text: string) => void;
  /** Told of the record of a volume in whose place another was found, before that is refused. */
  readonly onOther: (record: VolumeRecord) => void;
}

/**
 * A key, and what sending it leaves to be put on record. `newUse` is null where that is nothing.
 */
interface Answer extends Won {
  readonly newUse: { readonly use: Use; readonly device: string } | null;
  /** Of the volume whose bindings were asked; null where a command was. */
  readonly uuid: string | null;
}

/** The log tells this many kinds of failure of one source: enough for a minute of attempts. */
const SAID_COUNT = 4;

/**
 * Finds the key of a volume of crypttab. It settles by the end, unless crypttab itself cannot be
 * read: the caller watches over that.
 * @throws NightlatchError agent/*, and what the volume's header (luks/*) and its sources (pin/*, …)
 *   say
 */
export async function answerVolume(
  system: AnswerPower,
  volume: string,
  options: AnswerOptions,
  signal: AbortSignal,
): Promise<Answer> {
  const entry = await findEntry(system, volume, options.crypttab);
  const configured = options.config.volumes.get(volume);
  const { endMs } = options;
  const { sources, newUse, uuid } =
    configured?.command == null
      ? await sourcesOfHeader(system, entry, options, signal)
      : { sources: [await safeCommand(system, configured.command, options, signal)], newUse: null, uuid: null };
  const said = new Map<KeySource, Set<string>>(sources.map((source) => [source, new Set()]));
  const won = await raceSources(system, sources, {
    endMs,
    signal,
    onFailure: (failed, error, again) => {
      const text = error instanceof NightlatchError ? `${error.message} [${error.code}]` : "internal error";
      const before = said.get(failed);
      // Attempts fail alike: once is enough.
      if (before === undefined || before.has(text) || before.size === SAID_COUNT) return;
      before.add(text);
      options.log(`${failed.name}: ${text}${again ? "; trying again" : ""}`);
    },
  });
  return { ...won, newUse, uuid };
}

function whenSafe(system: AnswerPower, { safe, state, endMs }: AnswerOptions, signal: AbortSignal): Promise<void> {
  return orEnd(system, safe, { endMs, signal }, `${state} could not be looked at in time`);
}

/** @throws NightlatchError agent/exposed where others than root could change its program, too */
async function safeCommand(
  system: AnswerPower,
  command: KeyCommand,
  options: AnswerOptions,
  signal: AbortSignal,
): Promise<KeySource> {
  await whenSafe(system, options, signal);
  await refuseExposedProgram(system, command.argv[0]);
  return commandSource(system, command);
}

async function findEntry(system: Pick<System, "readFile">, volume: string, crypttab: string): Promise<CrypttabEntry> {
  const { entries } = parseCrypttab(await system.readFile(crypttab, CRYPTTAB_LIMIT_BYTES));
  const entry = entries.find((candidate) => candidate.volume === volume);
  if (entry !== undefined) return entry;
  throw new NightlatchError("agent/unknown-volume", `${crypttab} has no volume of that name`, {
    remedy: "The agent opens what crypttab names. See: nightlatch check",
  });
}

interface HeaderSources extends Pick<Answer, "newUse" | "uuid"> {
  readonly sources: readonly KeySource[];
}

async function sourcesOfHeader(
  system: AnswerPower,
  entry: CrypttabEntry,
  options: AnswerOptions,
  signal: AbortSignal,
): Promise<HeaderSources> {
  const wait: HeaderWait = { endMs: options.endMs, signal, log: options.log };
  const device = headerPathOf(entry);
  const reading = orEnd(system, waitForHeader(system, device, wait), wait, `${device} could not be read in time`);
  const [header] = await Promise.all([reading, whenSafe(system, options, signal)]);
  const judging = judge(system, entry.volume, header, device, options);
  const newUse = await orEnd(system, judging, wait, `${options.state} could not be read in time`);
  const asking = withoutRefused(system, options.state);
  const asked = await orEnd(system, asking, wait, `${options.state} could not be read in time`);
  const sources = bindingSources(asked, header, wait.log);
  if (sources.length > 0) return { sources, newUse, uuid: header.uuid };
  throw new NightlatchError("agent/no-binding", `${device} has no binding`, {
    remedy: `Bind it: nightlatch bind ${device}; or name a command for it in agent.toml.`,
  });
}

/**
 * Judges whether it is the volume that was bound: docs/format/bound.md.
 * @throws NightlatchError luks/other-volume, luks/not-recorded, …
 */
async function judge(
  system: AnswerPower,
  volume: string,
  header: VolumeHeader,
  device: string,
  { config, state, onOther }: AnswerOptions,
): Promise<Answer["newUse"]> {
  const verdict = await judgeBound(system, state, header, volume);
  const refusal = refusalOf(verdict, device, config.volumes.get(volume)?.trust ?? config.trust);
  if (verdict.kind === "other") onOther(verdict.record);
  if (refusal !== null) throw refusal;
  const use = isNewUse(verdict, volume) ? useOf(header, volume) : null;
  return use === null ? null : { use, device };
}

/**
 * Says where the header is: on the device, or apart from it (`header=`).
 * @throws NightlatchError luks/unsupported where it lies on another device
 */
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

interface HeaderWait extends Wait {
  readonly log: (text: string) => void;
}

const LOOK_AGAIN_MS = 250;

/**
 * Reads the header, again and again until the end: a disk may come late, or be busy for a moment.
 * @throws NightlatchError as readVolumeHeader
 */
async function waitForHeader(system: AnswerPower, device: string, wait: HeaderWait): Promise<VolumeHeader> {
  for (let said = false; ; said = true) {
    try {
      return await readVolumeHeader(system, device);
    } catch (error) {
      if (!isError(error, "file/missing") && !isError(error, "file/io")) throw error;
      const leftMs = wait.endMs - system.monotonicMs();
      if (leftMs <= 0 || wait.signal.aborted) throw error;
      if (!said) wait.log(`${error.message}; waiting for it`);
      await system.sleep(Math.min(LOOK_AGAIN_MS, leftMs), wait.signal);
    }
  }
}
