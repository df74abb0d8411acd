import { isError, type NightlatchError } from "../core/errors.ts";
import type { VolumeRecord } from "../formats/own/volume-record.ts";
import { type EnrolledServer, listServers } from "../pins/latch/machine.ts";
import { askReceipt, type ReceiptPower } from "../pins/latch/receipt.ts";
import type { System } from "../system/port.ts";

type AskPower = ReceiptPower & Pick<System, "readFile">;

interface AskOptions {
  readonly stateFolder: string;
  readonly signal: AbortSignal;
  readonly log: (level: "info" | "warning", text: string) => void;
  /** For each server. */
  readonly timeoutMs: number;
}

/**
 * Asks each server at which the volume has a latch for a receipt, and writes a line for each.
 * @throws NightlatchError machine/bad-state, file/*
 */
export async function askAll(system: AskPower, { latches }: VolumeRecord, options: AskOptions): Promise<void> {
  const { stateFolder } = options;
  const servers = await listServers(system, stateFolder);
  for (const { url, server: thumbprint } of latches) {
    const server = servers.find((known) => known.thumbprint === thumbprint);
    const latch = /\/latch\/([\w-]{22})$/.exec(url)?.[1];
    if (server !== undefined && latch !== undefined) await askOne(system, server, latch, options);
  }
}

async function askOne(
  system: AskPower,
  server: EnrolledServer,
  latch: string,
  { stateFolder, signal, log, timeoutMs }: AskOptions,
): Promise<void> {
  const { host } = new URL(server.url);
  try {
    const proved = await askReceipt(system, stateFolder, server, latch, { timeoutMs, signal });
    if (proved === null) return;
    const { receipt, growth, checkpoint } = proved;
    const told = receipt === null ? "has no release of it" : `has its release as entry ${receipt.number}, proved`;
    const isOlder =
      growth === "rolled-back" ? "; an older copy of the server's store was taken into use since the last time" : "";
    log(isOlder === "" ? "info" : "warning", `${host}'s log of ${checkpoint.size} entries ${told}${isOlder}`);
  } catch (error) {
    if (!isError(error) || error.code.startsWith("file/")) throw error;
    log(isAbout(error) ? "warning" : "info", tell(host, error));
  }
}

/** Whether the log itself is in doubt, and not only the line to it. */
function isAbout({ code }: NightlatchError): boolean {
  return code === "receipt/went-back" || code === "receipt/not-proved" || code === "enrolment/untrusted";
}

function tell(host: string, error: NightlatchError): string {
  const what = isAbout(error) ? error.message : `${host} gave no receipt: ${error.message}`;
  return [`${what} [${error.code}]`, error.meaning, error.remedy].filter((text) => text !== undefined).join(". ");
}
