import { listBindings } from "../bindings/binding.ts";
import { isError, NightlatchError } from "../core/errors.ts";
import { isLatch } from "../formats/network/server-address.ts";
import { announceLease } from "../pins/latch/lease.ts";
import { type EnrolledServer, listServers } from "../pins/latch/machine.ts";
import type { System } from "../system/port.ts";
import type { PlannedVolume } from "./plan/reboot-plan.ts";

/** What it takes to speak to the machine's servers. */
type LeaseSystem = Pick<System, "readFile" | "readFileIfPresent" | "listDirectory" | "stat" | "request">;

/** The servers that a boot has to be announced to: docs/decisions/106. */
export interface Announcing {
  /** Those that release to this machine within a lease alone. */
  readonly leased: readonly EnrolledServer[];
  /** Those that did not say. */
  readonly silent: readonly EnrolledServer[];
}

/** A window that is open while something is proved. It is ended where it is disposed of. */
interface ProofWindow extends AsyncDisposable {
  readonly announcing: Announcing;
}

/** From the announcement to the last latch that is released: shutdown, firmware, network. */
const BOOT = { seconds: 900, graceSeconds: 60 } as const;
/** A proof takes some seconds. */
const PROOF = { seconds: 120, graceSeconds: 60 } as const;
const END = { seconds: 0, graceSeconds: 0 } as const;

const TIMEOUT_MS = 5_000;

/** Whether one of the volumes has a binding to a latch, and may need our server at the boot. */
function asksLatches(volumes: readonly PlannedVolume[]): boolean {
  return volumes.some(({ found }) => found.header !== null && listBindings(found.header).some(hasLatch));
}

const hasLatch = ({ urls }: { readonly urls: readonly string[] }): boolean => urls.some(isLatch);

/**
 * Opens a window at each of the machine's servers that wants one, in which its bindings can be
 * tried. Where nothing needs a latch, nobody is asked. A server that does not answer is passed
 * over: the proof will tell whether it was needed.
 * @throws NightlatchError machine/bad-state, file/*
 */
export async function openForProof(
  system: LeaseSystem,
  stateFolder: string,
  volumes: readonly PlannedVolume[],
  signal: AbortSignal,
): Promise<ProofWindow> {
  const servers = asksLatches(volumes) ? await serversOf(system, stateFolder) : [];
  const asked = await Promise.all(
    servers.map(async (server) => ({ server, answer: await attempt(system, stateFolder, server, PROOF, signal) })),
  );
  const leased = asked
    .filter(({ answer }) => (isError(answer) ? isUnopened(answer) : answer?.isNeeded === true))
    .map(({ server }) => server);
  const silent = asked.filter(({ answer }) => isError(answer) && !isUnopened(answer)).map(({ server }) => server);
  return {
    announcing: { leased, silent },
    [Symbol.asyncDispose]: () => endLeases(system, stateFolder, leased),
  };
}

/**
 * Whether a server releases to this machine once operators approve alone. What is proved within
 * what they have approved says nothing of the boot, for which it is used up.
 */
function isUnopened(answer: NightlatchError): boolean {
  return isError(answer, "lease/needs-approval");
}

/**
 * Tells the servers that this machine reboots now. When it returns, each that needs it will release
 * to the next boot.
 * @throws NightlatchError reboot/no-lease where one of them does not say so; no window is open
 *   then, but for one whose server cannot be reached
 */
export async function announceBoot(
  system: LeaseSystem,
  stateFolder: string,
  { leased, silent }: Announcing,
  signal: AbortSignal,
): Promise<void> {
  const open = async (server: EnrolledServer) => {
    const answer = await attempt(system, stateFolder, server, BOOT, signal);
    if (isError(answer)) return { server, why: `${answer.message} [${answer.code}]` };
    const isOpen = answer !== null && (!answer.isNeeded || answer.seconds > 0);
    return { server, why: isOpen ? null : `${new URL(server.url).host} opened no window` };
  };
  const [told] = await Promise.all([Promise.all(leased.map(open)), Promise.all(silent.map(open))]);
  const whys = told.flatMap(({ why }) => (why === null ? [] : [why]));
  if (whys.length === 0) return;
  await endLeases(system, stateFolder, [...leased, ...silent]);
  throw new NightlatchError("reboot/no-lease", `the next boot could not be announced: ${whys.join("; ")}`, {
    meaning: "Its server would release nothing, and the machine would stop at its passphrase prompt.",
    remedy: "Try again once the server answers. Or reboot by systemctl reboot, and type the passphrase.",
  });
}

/**
 * Announces the boot, and then starts it. One that does not start is taken back at the servers.
 * @throws NightlatchError reboot/no-lease, and what starting throws
 */
export async function startAnnounced(
  system: LeaseSystem,
  stateFolder: string,
  announcing: Announcing,
  signal: AbortSignal,
  start: () => Promise<void>,
): Promise<void> {
  await announceBoot(system, stateFolder, announcing, signal);
  try {
    await start();
  } catch (error) {
    await endLeases(system, stateFolder, [...announcing.leased, ...announcing.silent]);
    throw error;
  }
}

/** Takes back what was announced. What does not reach its server is over by itself in minutes. */
async function endLeases(system: LeaseSystem, stateFolder: string, servers: readonly EnrolledServer[]): Promise<void> {
  // Also after a cancellation, which the caller's signal would cut short.
  const { signal } = new AbortController();
  await Promise.all(servers.map((server) => attempt(system, stateFolder, server, END, signal)));
}

async function serversOf(system: LeaseSystem, stateFolder: string): Promise<readonly EnrolledServer[]> {
  return (await system.stat(stateFolder)) === null ? [] : listServers(system, stateFolder);
}

async function attempt(
  system: LeaseSystem,
  stateFolder: string,
  server: EnrolledServer,
  window: Parameters<typeof announceLease>[3],
  signal: AbortSignal,
) {
  try {
    return await announceLease(system, stateFolder, server, window, { timeoutMs: TIMEOUT_MS, signal });
  } catch (error) {
    if (error instanceof NightlatchError) return error;
    throw error;
  }
}
