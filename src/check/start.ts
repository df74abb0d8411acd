import { type Crypttab, isStartedByHand, type CrypttabEntry } from "../formats/crypttab.ts";
import type { FstabEntry } from "../formats/fstab.ts";
import { BootGraph, type BrokenUnit } from "./boot-graph.ts";

/** What makes systemd start the unit of a volume in a boot. */
export type Start =
  /** cryptsetup.target, or remote-cryptsetup.target. */
  | { readonly by: "target" }
  /** A line of fstab that needs it, on its own mapping or through others. */
  | { readonly by: "mount"; readonly mount: FstabEntry }
  /** The same with x-systemd.automount, once somebody looks there. */
  | { readonly by: "use"; readonly mount: FstabEntry }
  /** It is noauto, and nothing in these files needs it. */
  | { readonly by: "hand" }
  /** It is _netdev, remote-cryptsetup.target is not part of the boot, and nothing in these files needs it. */
  | { readonly by: "nobody" }
  | { readonly by: "unsure"; readonly why: string };

export interface StartFiles {
  readonly crypttab: Crypttab;
  readonly mounts: readonly FstabEntry[];
  /** Whether remote-cryptsetup.target is part of the boot. */
  readonly startsRemote: boolean;
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
export function findStarts({ crypttab, mounts, startsRemote }: StartFiles): Map<string, Start> {
  const { entries, stopsAt } = crypttab;
  const targets = new Set([...TARGETS, ...(startsRemote ? ["remote-cryptsetup.target"] : [])]);
  const isHeard = ({ line }: { readonly line: number }) => stopsAt === null || line < stopsAt;
  const graphOf = (volumes: readonly CrypttabEntry[], unreadable: Crypttab["unreadable"]) =>
    new BootGraph({ volumes, mounts, broken: unreadable.flatMap(brokenUnit), targets });
  const all = graphOf(entries, crypttab.unreadable);
  const some = stopsAt === null ? all : graphOf(entries.filter(isHeard), crypttab.unreadable.filter(isHeard));
  const why = `before version 256, systemd reads no line of crypttab after line ${stopsAt}`;
  return new Map(
    entries.map((entry) => {
      const start = startOf(all, entry);
      const isSure = some === all || (isHeard(entry) && startOf(some, entry).by === start.by);
      return [entry.volume, isSure ? start : { by: "unsure", why }];
    }),
  );
}

export function isBoot(start: Start): boolean {
  return start.by === "target" || start.by === "mount";
}

function startOf(graph: BootGraph, entry: CrypttabEntry): Start {
  const mount = graph.started.get(entry);
  if (mount !== undefined) return mount === null ? { by: "target" } : { by: "mount", mount };
  const why = graph.whyDoubtful.get(entry);
  if (why !== undefined) return { by: "unsure", why };
  const used = graph.onUse.get(entry);
  if (used) return { by: "use", mount: used };
  return { by: isStartedByHand(entry) ? "hand" : "nobody" };
}

/** What a line that systemd cannot use takes with it. */
function brokenUnit({ line, isNetwork, mayFail, isByHand }: Crypttab["unreadable"][number]): BrokenUnit[] {
  if (mayFail || isByHand) return [];
  const target = isNetwork ? "remote-cryptsetup.target" : "cryptsetup.target";
  return [{ target, why: `line ${line} of crypttab is not UTF-8, for which systemd leaves ${target} out` }];
}
