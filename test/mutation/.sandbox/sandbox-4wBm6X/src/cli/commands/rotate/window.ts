// @ts-nocheck
import { isError, NightlatchError } from "../../../core/errors.ts";
import { serverOf } from "../../../formats/network/server-address.ts";
import { isSaidToGoDown } from "../../../host/shutdown.ts";
import { type EnrolledServer, listServers } from "../../../pins/latch/machine.ts";
import { endWindows, needsApproval, openWindows } from "../../../pins/latch/window.ts";
import type { System } from "../../../system/port.ts";

/** What a change of a header may take on a slow machine; it is ended when that is done. */
const ROTATION = { seconds: 300, graceSeconds: 300 } as const;

/**
 * The window in which a volume's bindings are changed, at those of the machine's servers that
 * release in one alone. It is opened when something is to be released, and ended where it is
 * disposed of. The volume is held throughout, so that no reboot of ours is announced meanwhile.
 * docs/decisions/137-a-rotation-opens-its-own-window.md
 */
export class RotationWindow implements AsyncDisposable {
  readonly #system: System;
  readonly #stateFolder: string;
  readonly #signal: AbortSignal;
  #opened: Promise<readonly EnrolledServer[]> | null = null;

  /** @param stateFolder of the machine, whose lock the caller holds */
  constructor(system: System, stateFolder: string, signal: AbortSignal) {
    this.#system = system;
    this.#stateFolder = stateFolder;
    this.#signal = signal;
  }

  /**
   * Opens it, where that was not done yet. A server that does not answer is passed over: what is
   * asked of it tells.
   * @param urls of the latches that are going to be asked
   * @throws NightlatchError lease/needs-approval, machine/locked, machine/revoked, reboot/not-now,
   *   machine/bad-state, file/*
   */
  async open(urls: readonly string[]): Promise<void> {
    this.#opened ??= this.#open(urls);
    await this.#opened;
  }

  async #open(urls: readonly string[]): Promise<readonly EnrolledServer[]> {
    const asked = urls.map((url) => serverOf(url));
    const servers = (await listServers(this.#system, this.#stateFolder)).filter(({ url }) => asked.includes(url));
    if (servers.length === 0) return [];
    // A window may be open for the boot that comes.
    if (await isSaidToGoDown(this.#system)) {
      throw new NightlatchError("reboot/not-now", "the machine is going down, and its next run goes on with this");
    }
    const outcomes = await openWindows(this.#system, this.#stateFolder, servers, ROTATION, this.#signal);
    const refused = outcomes.map(({ answer }) => answer).find(isRefusal);
    const opened = outcomes.filter(
      (one) => !needsApproval(one) && !isError(one.answer) && one.answer?.isNeeded === true,
    );
    const leased = opened.map(({ server }) => server);
    if (refused === undefined) return leased;
    await endWindows(this.#system, this.#stateFolder, leased);
    throw refused;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const leased = await this.#opened?.catch(() => []);
    if (leased === undefined || leased.length === 0) return;
    if (!(await isSaidToGoDown(this.#system))) await endWindows(this.#system, this.#stateFolder, leased);
  }
}

const isRefusal = (answer: unknown): answer is NightlatchError => isError(answer) && isWaiting(answer);

/** Whether a server releases nothing to this machine now, by an operator's word or its policy. */
export function isWaiting({ code }: NightlatchError): boolean {
  return WAITING.has(code);
}

const WAITING: ReadonlySet<string> = new Set([
  "lease/needs-approval",
  "machine/locked",
  "machine/revoked",
  "pin/locked",
  "reboot/not-now",
]);
