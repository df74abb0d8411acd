// @ts-nocheck
import { BootGraph, type BrokenUnit } from "./boot-graph.ts";
import { type Crypttab, type CrypttabEntry, isStartedByHand } from "./crypttab.ts";
import { hearCrypttab } from "./crypttab-heard.ts";
import type { FstabEntry } from "./fstab.ts";

/** What makes systemd start the unit of a volume in a boot. */
export interface Start {
  /**
   * - `target`: cryptsetup.target, or remote-cryptsetup.target.
   * - `mount`: a line of fstab that needs it, on its own mapping or through others.
   * - `use`: such a line with x-systemd.automount, once somebody looks there.
   * - `hand`: it is noauto, and nothing in these files needs it.
   * - `nobody`: it is _netdev, remote-cryptsetup.target is not part of the boot, and nothing in
   * these files needs it.
   * - `unheard`: the kernel command line keeps systemd from its line.
   * - `unsure`: it cannot be told.
   */
  readonly by: "target" | "mount" | "use" | "hand" | "nobody" | "unheard" | "unsure";
  /** The line of fstab that starts it, were it not for a target; null where there is none. */
  readonly mount: FstabEntry | null;
  /** Of `unheard` and `unsure`; else "". */
  readonly why: string;
}

interface StartFiles {
  readonly crypttab: Crypttab;
  readonly mounts: readonly FstabEntry[];
  /** Whether remote-cryptsetup.target is part of the boot. */
  readonly startsRemote: boolean;
  /** The kernel's. */
  readonly cmdline: string;
}

/** Targets of every boot to multi-user.target. */
const TARGETS = [
  "cryptsetup.target",
  "local-fs.target",
  "remote-fs.target",
  "swap.target",
  "sysinit.target",
  "basic.target",
  "multi-user.target",
  "default.target",
];

/**
 * What starts each volume, by name: what systemd-cryptsetup-generator and systemd-fstab-generator
 * make of the two files, and the units that theirs need. Units of other files are not looked at.
 */
export function findStarts({ crypttab: all, mounts, startsRemote, cmdline }: StartFiles): Map<string, Start> {
  const { crypttab, unheard } = hearCrypttab(all, cmdline);
  const { stopsAt, unreadable } = crypttab;
  const entries = crypttab.entries.filter(({ volume }) => !unheard.has(volume));
  const targets = new Set([...TARGETS, ...(startsRemote ? ["remote-cryptsetup.target"] : [])]);
  const isHeard = ({ line }: { readonly line: number }) => stopsAt === null || line < stopsAt;
  const graphOf = (volumes: readonly CrypttabEntry[], bad: Crypttab["unreadable"]) =>
    new BootGraph({ volumes, mounts, broken: bad.flatMap(brokenUnit), targets });
  const whole = graphOf(entries, unreadable);
  const part = stopsAt === null ? whole : graphOf(entries.filter(isHeard), unreadable.filter(isHeard));
  const starts = new Map<string, Start>();
  for (const entry of entries) {
    const start = startIn(whole, entry);
    const isSure = part === whole || (isHeard(entry) && startIn(part, entry).by === start.by);
    const why = `some versions of systemd, 252 for one, read no line of crypttab after line ${stopsAt}`;
    starts.set(entry.volume, isSure ? start : { ...start, by: "unsure", why });
  }
  for (const [volume, why] of unheard) starts.set(volume, { by: "unheard", mount: null, why });
  return starts;
}

/** Whether the boot itself starts a volume. */
export function isInBoot({ by }: Start): boolean {
  return by === "target" || by === "mount";
}

/**
 * Tells what starts a volume that is judged. One that crypttab does not have, or that is not told
 * of, counts as started.
 */
export function startOf(
  { starts }: { readonly starts: ReadonlyMap<string, Start> },
  { entry }: { readonly entry: CrypttabEntry },
): Start {
  return starts.get(entry.volume) ?? { by: "target", mount: null, why: "" };
}

/**
 * Whether the boot leaves a volume closed by the owner's own will, and nothing about it stops the
 * boot.
 */
export function isLeftClosed({ by }: Start): boolean {
  return by === "hand" || by === "use" || by === "unheard";
}

function startIn(graph: BootGraph, entry: CrypttabEntry): Start {
  const sake = graph.started.get(entry);
  const mount = graph.byMounts.get(entry) ?? sake ?? null;
  if (sake !== undefined) return { by: sake === null ? "target" : "mount", mount, why: "" };
  const why = graph.whyDoubtful.get(entry);
  if (why !== undefined) return { by: "unsure", mount, why };
  const used = graph.onUse.get(entry);
  if (used) return { by: "use", mount: used, why: "" };
  return { by: isStartedByHand(entry) ? "hand" : "nobody", mount: null, why: "" };
}

/** What a line that systemd cannot use takes with it. */
function brokenUnit({ line, isNetwork, mayFail, isByHand }: Crypttab["unreadable"][number]): BrokenUnit[] {
  if (mayFail || isByHand) return [];
  const target = isNetwork ? "remote-cryptsetup.target" : "cryptsetup.target";
  return [
    { target, why: `line ${line} of crypttab is not UTF-8, for which systemd may leave out what ${target} starts` },
  ];
}
