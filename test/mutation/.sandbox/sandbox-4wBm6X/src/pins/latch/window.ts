// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";
import type { LeaseAnswer } from "../../formats/own/lease.ts";
import type { System } from "../../system/port.ts";
import { announceLease } from "./lease.ts";
import type { EnrolledServer } from "./machine.ts";

/** What it takes to speak to the machine's servers. */
type WindowPower = Pick<System, "readFileIfPresent" | "request">;

/** What came of one server's being asked for a window: as announceLease gives it, or its error. */
export interface WindowOutcome {
  readonly server: EnrolledServer;
  readonly answer: LeaseAnswer | null | NightlatchError;
}

const END = { seconds: 0, graceSeconds: 0 } as const;
const TIMEOUT_MS = 5_000;

/**
 * Asks each of the servers for a window, side by side. Whoever wants none of it gives it back with
 * `endWindows`.
 * @throws NightlatchError never: an error is given with its server
 */
export async function openWindows(
  system: WindowPower,
  stateFolder: string,
  servers: readonly EnrolledServer[],
  window: { readonly seconds: number; readonly graceSeconds: number },
  signal: AbortSignal,
): Promise<readonly WindowOutcome[]> {
  const limits = { timeoutMs: TIMEOUT_MS, signal };
  const ask = async (server: EnrolledServer): Promise<WindowOutcome> => {
    try {
      return { server, answer: await announceLease(system, stateFolder, server, window, limits) };
    } catch (error) {
      if (error instanceof NightlatchError) return { server, answer: error };
      throw error;
    }
  };
  return await Promise.all(servers.map(ask));
}

/** Ends the machine's windows. What does not reach its server is over by itself in minutes. */
export async function endWindows(
  system: WindowPower,
  stateFolder: string,
  servers: readonly EnrolledServer[],
): Promise<void> {
  // Also after a cancellation, which the caller's signal would cut short.
  await openWindows(system, stateFolder, servers, END, new AbortController().signal);
}

/**
 * Whether a server releases to this machine once operators approve alone. What is proved within
 * what they have approved says nothing of the boot, for which it is used up.
 */
export function needsApproval({ answer }: WindowOutcome): boolean {
  return answer instanceof NightlatchError && answer.code === "lease/needs-approval";
}
