/**
 * Sites, in true time: what fell silent together, who may come back, and how fast. Which machines
 * are gone with their site is not in the log. It is told by what passed the doors (vigil.ts), and
 * by the power cuts that the simulation makes.
 */
import type { Ledger, LedgerMachine, LogEntry } from "./ledger.ts";
import type { LedgerSite } from "./ledger-sites.ts";
import type { Vigils, Written } from "./vigil.ts";

interface Window {
  readonly number: number;
  readonly openMs: number;
  /** When it was opened, between two readings. */
  readonly sinceMs: number;
  readonly nowMs: number;
  readonly life: number;
  readonly jumps: number;
  /** When the last machine was let in. */
  last: { readonly at: number; readonly sinceMs: number; readonly nowMs: number; readonly jumps: number } | null;
}

/** Machines of a site that have lost their power in one moment, and nobody of it has not. */
interface Cut {
  readonly atMs: number;
  readonly machines: ReadonlySet<string>;
  readonly life: number;
  /** The site is held for it. */
  isHeld: boolean;
}

export interface SiteWorld {
  readonly ledger: Ledger;
  readonly nowMs: number;
  readonly life: number;
  /** Counts what the server's clock was set. */
  readonly jumps: number;
  readonly isExcused: boolean;
  /** The addresses that a machine was ever heard from. */
  homes(machine: string): ReadonlySet<string>;
  /** Whether the server surely knows where a machine is alive. */
  isPlaceKnown(machine: string): boolean;
  /** When an entry about a machine was read last. */
  changedMs(machine: string): number;
}

/** A window closes within a look, which is every second, and its entries take a moment. */
const LATE_MS = 20_000;
/** The time of a boot, in which nobody knows whether a machine is there; and some more. */
const UNSURE_MS = 1_000_000;

export class SiteWatch {
  readonly #world: SiteWorld;
  readonly #vigils: Vigils;
  readonly #windows = new Map<string, Window>();
  readonly #cuts = new Map<string, Cut>();

  constructor(world: SiteWorld, vigils: Vigils) {
    this.#world = world;
    this.#vigils = vigils;
  }

  /** All machines of a site have lost their power now. */
  cut(site: string): void {
    const { ledger, nowMs } = this.#world;
    const members = [...ledger.machines.values()].filter((one) => one.group === site && one.state === "active");
    const under = members.filter(({ policy }) => policy === "alive");
    const isSure = ({ id }: LedgerMachine): boolean =>
      this.#vigils.isSurelyThere(id, nowMs) && nowMs - this.#world.changedMs(id) > UNSURE_MS;
    this.#cuts.delete(site);
    if (ledger.sites.all.get(site)?.state !== "free" || under.length < 2 || !under.every(isSure)) return;
    const machines = new Set(under.map(({ id }) => id));
    this.#cuts.set(site, { atMs: nowMs, machines, life: this.#world.life, isHeld: false });
  }

  /** Follows an entry that is new. @returns what is wrong with it; null where nothing is */
  follow(entry: LogEntry, written: Written): string | null {
    const name = String(entry["group"]);
    const { life, ledger, jumps, nowMs } = this.#world;
    const window = this.#windows.get(name);
    switch (entry.kind) {
      case "site-release": {
        const { sinceMs } = written;
        const openMs = Number(entry["until"]) - entry.at;
        this.#windows.set(name, {
          number: Number(entry["window"]),
          openMs,
          sinceMs,
          nowMs: written.nowMs,
          life,
          jumps,
          last: null,
        });
        return null;
      }
      case "site-hold": {
        this.#windows.delete(name);
        const cut = this.#cuts.get(name);
        if (cut !== undefined && entry["silent"] !== undefined)
          cut.isHeld = [...cut.machines].every((machine) => this.#world.isPlaceKnown(machine));
        if (entry["silent"] === undefined) return null;
        const silent = [...ledger.machines.values()].filter(
          ({ id, group, policy }) => group === name && policy === "alive" && !this.#vigils.isSurelyThere(id, nowMs),
        );
        return silent.length >= 2 ? null : "a site is held, and no two machines of it are silent";
      }
      case "site-end": {
        this.#windows.delete(name);
        this.#cuts.delete(name);
        for (const machine of ledger.machines.values()) if (machine.group === name) this.#vigils.back(machine.id);
        const isSure = window !== undefined && window.life === life;
        return isSure && written.nowMs < window.sinceMs + window.openMs ? "the window of a site ends too soon" : null;
      }
      case "machine-gone":
        return this.#locked(String(entry["machine"]));
      default:
        return this.#noteChange(entry);
    }
  }

  /** A machine was let in, and counted. @returns what is wrong with that; null where nothing is */
  entered({ id, group }: LedgerMachine, entry: LogEntry, written: Written): string | null {
    const site = this.#world.ledger.sites.all.get(group ?? "");
    const window = this.#windows.get(group ?? "");
    if (site === undefined || window === undefined) return "it was let in by a window that is none";
    const { last } = window;
    const apartMs = site.perMs / site.count;
    const { jumps } = this.#world;
    const now = { at: entry.at, sinceMs: written.sinceMs, nowMs: written.nowMs, jumps: written.jumps };
    window.last = now;
    this.#vigils.returned(id, written);
    if (this.#isSurelyOver(window, written.sinceMs)) return "it was let in, and the window of its site was over";
    if (last === null) return null;
    const sinceLastMs = last.jumps === jumps ? entry.at - last.at : written.nowMs - last.sinceMs;
    return sinceLastMs >= apartMs ? null : `two were let in within ${sinceLastMs} ms`;
  }

  /** Why a silent machine must not be let in that asks from here; null where it may be. */
  refusal({ id }: LedgerMachine, from: string): string | null {
    return this.#world.homes(id).has(from) ? null : "it had not been alive from there";
  }

  /** Whether a machine that is gone with its site is surely let in now. */
  isLetIn(machine: LedgerMachine, from: string): boolean {
    const { ledger, nowMs, homes } = this.#world;
    const site = ledger.sites.of(machine);
    const cut = this.#cuts.get(machine.group ?? "");
    const window = this.#windows.get(machine.group ?? "");
    if (site?.state !== "open" || window === undefined || !this.#isSurelyOpen(site, window)) return false;
    if (cut === undefined || !cut.isHeld || !cut.machines.has(machine.id)) return false;
    const known = homes(machine.id);
    const roomMs = window.last === null ? Number.POSITIVE_INFINITY : nowMs - window.last.nowMs;
    return machine.policy === "alive" && known.size === 1 && known.has(from) && roomMs * site.count >= site.perMs;
  }

  /** A machine was heard from here. Within a window it is back by that. */
  heard(machine: LedgerMachine | undefined, from: string, arrivedMs: number): void {
    if (machine === undefined || this.#world.isExcused) return;
    const site = this.#world.ledger.sites.of(machine);
    const window = this.#windows.get(machine.group ?? "");
    const homes = this.#world.homes(machine.id);
    if (site === null || window === undefined || arrivedMs <= window.nowMs || homes.size !== 1 || !homes.has(from))
      return;
    if (this.#isSurelyOpen(site, window)) this.#vigils.heardAtHome(machine.id);
  }

  /**
   * Notes who may be gone with a site.
   * @param logMs the time that the log is of: where the server has ended, that of its end
   * @returns what is wrong; null where nothing is
   */
  look(logMs: number): string | null {
    const { ledger, nowMs, isExcused } = this.#world;
    for (const site of ledger.sites.all.values()) {
      if (site.state === "free") continue;
      for (const { id, group } of ledger.machines.values())
        if (group === site.name) this.#vigils.mayBeGone(id, nowMs, this.#world.isPlaceKnown(id));
      const window = this.#windows.get(site.name);
      if (site.state !== "open" || window === undefined || isExcused) continue;
      // By its clock a server that was started since may be wrong about the end.
      if (window.life !== this.#world.life && window.jumps !== this.#world.jumps) continue;
      if (logMs > window.nowMs + window.openMs + LATE_MS) return `the window of ${site.name} is over, and it is open`;
    }
    return null;
  }

  /** What is locked for its silence must not have fallen silent with all others. */
  #locked(machine: string): string | null {
    const { ledger, life } = this.#world;
    for (const [site, cut] of this.#cuts) {
      // What was gone before a start falls silent with nobody who does since.
      const isPart = cut.life !== life && ledger.sites.all.get(site)?.state !== "free";
      if (cut.machines.has(machine) && !this.#windows.has(site) && !isPart)
        return "it was locked alone, and its site had no power";
    }
    return null;
  }

  /** What changes for a machine after a cut makes it unsure what that means. */
  #noteChange(entry: LogEntry): null {
    for (const [site, { machines, isHeld }] of this.#cuts)
      if (machines.has(String(entry["machine"])) && !(isHeld && entry.kind === "release")) this.#cuts.delete(site);
    return null;
  }

  #isSurelyOpen(site: LedgerSite, { number, life, nowMs, sinceMs, openMs }: Window): boolean {
    const { life: present, nowMs: atMs } = this.#world;
    return site.window === number && life === present && atMs > nowMs && atMs < sinceMs + openMs - 1000;
  }

  #isSurelyOver({ life, jumps, nowMs, openMs }: Window, atMs: number): boolean {
    return (life === this.#world.life || jumps === this.#world.jumps) && atMs > nowMs + openMs;
  }
}
