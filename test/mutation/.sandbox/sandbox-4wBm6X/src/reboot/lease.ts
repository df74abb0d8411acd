// @ts-nocheck
import { listBindings } from "../bindings/binding.ts";
import { NightlatchError } from "../core/errors.ts";
import { isLatch } from "../formats/network/server-address.ts";
import { type EnrolledServer, listServers } from "../pins/latch/machine.ts";
import { endWindows, needsApproval, openWindows, type WindowOutcome } from "../pins/latch/window.ts";
import type { System } from "../system/port.ts";
import type { PlannedVolume } from "./plan/reboot-plan.ts";
import { lockHeaders } from "./stage/disposable.ts";

/** What it takes to speak to the machine's servers. */
type LeaseSystem = Pick<System, "readFile" | "readFileIfPresent" | "listDirectory" | "stat" | "request">;
/** The same, while no other run of ours opens or ends a window. */
type StartSystem = LeaseSystem & Pick<System, "lock" | "makeDirectory">;

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
  const asked = await openWindows(system, stateFolder, servers, PROOF, signal);
  const isSilent = (one: WindowOutcome) => one.answer instanceof NightlatchError && !needsApproval(one);
  const isLeased = (one: WindowOutcome) =>
    needsApproval(one) || (!(one.answer instanceof NightlatchError) && one.answer?.isNeeded === true);
  const leased = asked.filter(isLeased).map(({ server }) => server);
  return {
    announcing: { leased, silent: asked.filter(isSilent).map(({ server }) => server) },
    [Symbol.asyncDispose]: () => endWindows(system, stateFolder, leased),
  };
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
  const [told] = await Promise.all([
    openWindows(system, stateFolder, leased, BOOT, signal),
    openWindows(system, stateFolder, silent, BOOT, signal),
  ]);
  const whys = told.map(whyUnopened).filter((why) => why !== null);
  if (whys.length === 0) return;
  await endWindows(system, stateFolder, [...leased, ...silent]);
  throw new NightlatchError("reboot/no-lease", `the next boot could not be announced: ${whys.join("; ")}`, {
    meaning: "Its server would release nothing, and the machine would stop at its passphrase prompt.",
    remedy: "Try again once the server answers. Or reboot by systemctl reboot, and type the passphrase.",
  });
}

/** null where the next boot will be released. */
function whyUnopened({ server, answer }: WindowOutcome): string | null {
  if (answer instanceof NightlatchError) return `${answer.message} [${answer.code}]`;
  const isOpen = answer !== null && (!answer.isNeeded || answer.seconds > 0);
  return isOpen ? null : `${new URL(server.url).host} opened no window`;
}

/**
 * Announces the boot, and then starts it. One that does not start is taken back at the servers. A
 * header change that is under way is waited for: it may have a window of its own, which would end
 * after the boot's has begun.
 * @throws NightlatchError reboot/no-lease, system/busy, and what starting throws
 */
export async function startAnnounced(
  system: StartSystem,
  stateFolder: string,
  announcing: Announcing,
  signal: AbortSignal,
  start: () => Promise<void>,
): Promise<void> {
  const servers = [...announcing.leased, ...announcing.silent];
  await using _ = servers.length === 0 ? null : await lockHeaders(system, stateFolder);
  await announceBoot(system, stateFolder, announcing, signal);
  try {
    await start();
  } catch (error) {
    await endWindows(system, stateFolder, servers);
    throw error;
  }
}

async function serversOf(system: LeaseSystem, stateFolder: string): Promise<readonly EnrolledServer[]> {
  return (await system.stat(stateFolder)) === null ? [] : listServers(system, stateFolder);
}
