import { isError, type NightlatchError } from "../core/errors.ts";
import type { WitnessConfig } from "../formats/own/agent-config.ts";
import type { ProvedReceipt } from "../formats/own/receipt.ts";
import { latchIdIn, type VolumeRecord } from "../formats/own/volume-record.ts";
import { type EnrolledServer, listServers } from "../pins/latch/machine.ts";
import { askReceipt, forgiveMissing, notCosigned, type ReceiptPower, refuseUnsigned } from "../pins/latch/receipt.ts";
import type { System } from "../system/port.ts";

type AskPower = ReceiptPower & Pick<System, "readFile" | "sleep" | "monotonicMs">;

interface AskOptions {
  readonly stateFolder: string;
  readonly signal: AbortSignal;
  readonly log: (level: "info" | "warning", text: string) => void;
  /** For each server. */
  readonly timeoutMs: number;
  /** Who must have signed its log; null where nobody must. */
  readonly witness: WitnessConfig | null;
}

/** A server asks its witnesses every two seconds; one that is down may come up again. */
const SIGNED_WITHIN_MS = 60_000;
const SIGNED_AGAIN_MS = 5_000;

/**
 * Asks each server at which the volume has a latch for a receipt, and writes a line for each.
 * @throws NightlatchError machine/bad-state, file/*
 */
export async function askAll(system: AskPower, { latches }: VolumeRecord, options: AskOptions): Promise<void> {
  const { stateFolder } = options;
  const servers = await listServers(system, stateFolder);
  for (const { url, server: thumbprint } of latches) {
    const server = servers.find((known) => known.thumbprint === thumbprint);
    const latch = latchIdIn(url);
    if (server !== undefined && latch !== null) await askOne(system, server, latch, options);
  }
}

async function askOne(system: AskPower, server: EnrolledServer, latch: string, options: AskOptions): Promise<void> {
  const { stateFolder, signal, log, witness } = options;
  const { host } = new URL(server.url);
  try {
    const proved = await askUntilSigned(system, server, latch, options);
    if (proved === null) return;
    const { receipt, growth, checkpoint } = proved;
    const told = receipt === null ? "has no release of it" : `has its release as entry ${receipt.number}, proved`;
    const isOlder =
      growth === "rolled-back" ? "; an older copy of the server's store was taken into use since the last time" : "";
    log(isOlder === "" ? "info" : "warning", `${host}'s log of ${checkpoint.size} entries ${told}${isOlder}`);
    const { witnessed } = proved;
    if (witness === null || witnessed === null) return;
    if (witnessed.isEnough) {
      await forgiveMissing(system, stateFolder, server);
      return log("info", `${host}'s log is signed up to entry ${witnessed.size} by ${witnessed.by.join(", ")}`);
    }
    throw notCosigned(server, witnessed, witness);
  } catch (error) {
    if (!isError(error) || error.code.startsWith("file/")) throw error;
    // Whoever rewrites a log can also fail to show it: it is the same to a machine that insists.
    if (witness?.missing === "refuse" && !signal.aborted) await refuseUnsigned(system, stateFolder, server);
    log(isAbout(error) ? "warning" : "info", tell(host, error));
  }
}

/** Asks again for a while, where its witnesses have not signed the log yet. */
async function askUntilSigned(
  system: AskPower,
  server: EnrolledServer,
  latch: string,
  { stateFolder, signal, timeoutMs, witness }: AskOptions,
): Promise<ProvedReceipt | null> {
  const endMs = system.monotonicMs() + SIGNED_WITHIN_MS;
  for (;;) {
    const isLast = witness === null || signal.aborted || system.monotonicMs() + SIGNED_AGAIN_MS > endMs;
    try {
      const proved = await askReceipt(system, stateFolder, server, latch, { timeoutMs, signal, witness });
      if (isLast || proved === null || proved.witnessed === null || proved.witnessed.isEnough) return proved;
    } catch (error) {
      if (isLast || !isError(error) || !isWorthAnother(error)) throw error;
    }
    await system.sleep(SIGNED_AGAIN_MS, signal);
  }
}

/** Whether the line failed, or the server was busy. */
function isWorthAnother({ code }: NightlatchError): boolean {
  return code.startsWith("net/") || code === "pin/busy";
}

/** Whether the log itself is in doubt, and not only the line to it. */
function isAbout({ code }: NightlatchError): boolean {
  return (
    code === "receipt/went-back" ||
    code === "receipt/not-cosigned" ||
    code === "receipt/not-proved" ||
    code === "enrolment/untrusted"
  );
}

function tell(host: string, error: NightlatchError): string {
  const what = isAbout(error) ? error.message : `${host} gave no receipt: ${error.message}`;
  return [`${what} [${error.code}]`, error.meaning, error.remedy].filter((text) => text !== undefined).join(". ");
}
