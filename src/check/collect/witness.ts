import { isError, type NightlatchError } from "../../core/errors.ts";
import type { WitnessConfig } from "../../formats/own/agent-config.ts";
import { latchIdIn, type VolumeRecord } from "../../formats/own/volume-record.ts";
import { listVolumeRecords, type RecordPower } from "../../luks/bound/records.ts";
import type { EnrolledServer } from "../../pins/latch/machine.ts";
import { notCosigned, type ProofPower, proveReceipt, wentBack } from "../../pins/latch/receipt.ts";
import type { System } from "../../system/port.ts";
import type { WitnessFacts } from "../judge/facts.ts";

type WitnessPower = ProofPower & Pick<System, "readFile" | "listDirectory" | "sleep">;

const TIMEOUT_MS = 10_000;
/** A server asks its witnesses every two seconds, and each has ten to answer in. */
const AGAIN_MS = 5_000;

/**
 * Asks each server where a volume is bound whether its witnesses have signed its log, and keeps
 * nothing of the answers. Null where agent.toml names none, or there is no server.
 * @throws NightlatchError file/*
 */
export async function readWitness(
  system: WitnessPower,
  witness: WitnessConfig | null,
  servers: readonly EnrolledServer[],
  { stateFolder, signal }: { readonly stateFolder: string; readonly signal: AbortSignal },
): Promise<WitnessFacts | null> {
  if (witness === null || servers.length === 0) return null;
  const records = await knownRecords(system, stateFolder);
  const asked = servers.map(async (server) => {
    const latch = latchAt(records, server);
    if (latch === null) return [];
    const flaw = await findFlaw(system, server, latch, { stateFolder, signal, witness });
    return flaw === null ? [] : [{ host: new URL(server.url).host, ...flaw }];
  });
  return { missing: witness.missing, flaws: (await Promise.all(asked)).flat() };
}

/** What is damaged is told of its volume. */
async function knownRecords(system: RecordPower, stateFolder: string): Promise<readonly VolumeRecord[]> {
  try {
    return await listVolumeRecords(system, stateFolder);
  } catch (error) {
    if (isError(error, "machine/bad-state")) return [];
    throw error;
  }
}

/** A server has one log, so one of the latches there tells as much as all. */
function latchAt(records: readonly VolumeRecord[], { thumbprint }: EnrolledServer): string | null {
  const latches = records.flatMap((record) => record.latches).filter(({ server }) => server === thumbprint);
  return latches.map(({ url }) => latchIdIn(url)).find((latch) => latch !== null) ?? null;
}

interface AskOptions {
  readonly stateFolder: string;
  readonly signal: AbortSignal;
  readonly witness: WitnessConfig;
}

/** What is wrong with a server's log; null where nothing is, or the server does not answer. */
async function findFlaw(
  system: WitnessPower,
  server: EnrolledServer,
  latch: string,
  options: AskOptions,
): Promise<{ readonly error: NightlatchError; readonly unsigned: readonly string[] } | null> {
  const { witness, signal } = options;
  for (let isLast = signal.aborted; ; isLast = true) {
    try {
      const proved = await proveReceipt(system, options.stateFolder, server, latch, {
        ...options,
        timeoutMs: TIMEOUT_MS,
      });
      if (proved?.growth === "went-back") return { error: wentBack(server), unsigned: [] };
      const witnessed = proved?.witnessed ?? null;
      if (witnessed === null || witnessed.isEnough) return null;
      const names = witness.keys.map((key) => key.slice(0, key.indexOf("+")));
      const unsigned = names.filter((name) => !witnessed.by.includes(name));
      if (isLast) return { error: notCosigned(server, witnessed, witness), unsigned };
    } catch (error) {
      if (!isError(error)) throw error;
      // Whether the server answers is told of the bindings that ask it.
      const isSilent = error.code.startsWith("net/") || error.code === "pin/busy";
      return isSilent ? null : { error, unsigned: [] };
    }
    await system.sleep(AGAIN_MS, signal);
  }
}
