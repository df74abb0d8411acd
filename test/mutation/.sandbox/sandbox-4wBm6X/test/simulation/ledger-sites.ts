/** What the log means of groups that are sites: docs/policy.md, read once more. */
// @ts-nocheck

import type { LedgerMachine, LogEntry } from "./ledger.ts";

export interface LedgerSite {
  readonly name: string;
  state: "free" | "held" | "open";
  /** Count its holds, and its windows. */
  hold: number;
  window: number;
  /** Of the window: so many machines, in so many milliseconds. */
  count: number;
  perMs: number;
}

const [LEAST_OPEN_MS, MOST_OPEN_MS] = [60_000, 86_400_000];

export class LedgerSites {
  readonly all = new Map<string, LedgerSite>();

  /** The site of a machine; null where it is of none. */
  of({ group }: LedgerMachine): LedgerSite | null {
    return group === null ? null : (this.all.get(group) ?? null);
  }

  /** Takes an entry of a group. Gives what is wrong with it; null where nothing is. */
  take(entry: LogEntry, machine: LedgerMachine | undefined): string | null {
    const name = String(entry["group"]);
    if (entry.kind === "group-add") {
      this.all.set(name, { name, state: "free", hold: 0, window: 0, count: 0, perMs: 0 });
      return null;
    }
    const site = this.all.get(name);
    if (site === undefined) return "of no group";
    if (entry.kind === "group-join" || entry.kind === "group-leave") {
      if (machine === undefined) return "of no machine";
      machine.group = entry.kind === "group-join" ? name : null;
      machine.letIn = null;
      return null;
    }
    if (entry.kind === "site-hold") return hold(site, entry);
    if (entry.kind === "site-release") return open(site, entry);
    if (site.state !== "open") return "a window of a site is over that is none";
    site.state = "free";
    return null;
  }

  /** A machine was let in by a window, which is counted. */
  enter(machine: LedgerMachine, window: number): string | null {
    const site = this.of(machine);
    if (site?.state !== "open" || site.window !== window) return "it was let in by a window that is none";
    if (machine.letIn === window) return "it was let in by one window twice";
    machine.letIn = window;
    return null;
  }
}

function hold(site: LedgerSite, entry: LogEntry): string | null {
  const { silent, of } = entry as { [name: string]: number } & LogEntry;
  const before = site.state;
  if (before === "free") site.hold++;
  site.state = "held";
  if (entry["hold"] !== site.hold) return "a hold of a site has another number";
  if (before === "held") return "a site is held that is held";
  if (entry["restart"] !== undefined && before !== "open") return "a window was missed that was none";
  if (silent === undefined || of === undefined) return null;
  return silent >= 2 && silent * 2 >= of ? null : "a site is held for one machine that is silent";
}

function open(site: LedgerSite, entry: LogEntry): string | null {
  if (site.state === "free") return "a site is released that was not held";
  const openMs = Number(entry["until"]) - entry.at;
  Object.assign(site, { state: "open", window: site.window + 1, count: entry["count"], perMs: entry["per"] });
  if (entry["window"] !== site.window || entry["hold"] !== site.hold) return "a window of a site has another number";
  return openMs >= LEAST_OPEN_MS && openMs <= MOST_OPEN_MS ? null : "a site is open for longer than any may be";
}
