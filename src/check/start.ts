import { type CrypttabEntry, isNetworkVolume, isStartedByHand } from "../formats/crypttab.ts";
import { devicesOf, pathsOf } from "../formats/crypttab-places.ts";
import {
  bindSourceOf,
  type FstabEntry,
  isAutomount,
  isStarted,
  mountPointOf,
  optionValues,
  sourcePathOf,
} from "../formats/fstab.ts";
import { prefixesOf, simplifyPath } from "../formats/unit-path.ts";

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
  readonly volumes: readonly CrypttabEntry[];
  /** As parseCrypttab has it. */
  readonly stopsAt: number | null;
  readonly mounts: readonly FstabEntry[];
  /** Whether remote-cryptsetup.target is part of the boot. */
  readonly startsRemote: boolean;
}

/**
 * What starts each volume, by name: what systemd-cryptsetup-generator and systemd-fstab-generator
 * make of the two files, and the units that theirs need. Units of other files are not looked at.
 */
export function findStarts({ volumes, stopsAt, mounts, startsRemote }: StartFiles): Map<string, Start> {
  const all = new BootGraph(volumes, mounts, startsRemote);
  const heard = volumes.filter(({ line }) => stopsAt === null || line < stopsAt);
  const some = heard.length === volumes.length ? all : new BootGraph(heard, mounts, startsRemote);
  return new Map(
    volumes.map((entry) => {
      const start = all.startOf(entry);
      const isSure = some === all || (heard.includes(entry) && isBoot(some.startOf(entry)) === isBoot(start));
      const why = `before version 256, systemd reads no line of crypttab after line ${stopsAt}`;
      return [entry.volume, isSure ? start : { by: "unsure", why }];
    }),
  );
}

export function isBoot(start: Start): boolean {
  return start.by === "target" || start.by === "mount";
}

/** Targets of every boot to multi-user.target. */
const TARGETS: ReadonlySet<string> = new Set([
  "local-fs.target",
  "remote-fs.target",
  "sysinit.target",
  "basic.target",
  "multi-user.target",
  "default.target",
]);

interface Needs {
  readonly devices: readonly string[];
  /** RequiresMountsFor=. */
  readonly paths: readonly string[];
  /** Names of units, and paths that stand for one. */
  readonly units: readonly string[];
}

/** Who needs whom. A node is a line of one of the files. */
class BootGraph {
  readonly #volumes = new Map<string, CrypttabEntry>();
  readonly #mounts = new Map<string, FstabEntry>();
  readonly #inBoot: ReadonlyMap<CrypttabEntry | FstabEntry, FstabEntry | null>;
  readonly #onUse: ReadonlyMap<CrypttabEntry | FstabEntry, FstabEntry | null>;
  readonly #perhaps: ReadonlyMap<CrypttabEntry | FstabEntry, FstabEntry | null>;

  constructor(volumes: readonly CrypttabEntry[], mounts: readonly FstabEntry[], startsRemote: boolean) {
    for (const entry of volumes) this.#volumes.set(`/dev/mapper/${entry.volume}`, entry);
    // Of two lines for one place the first counts; swap has its device in the place of one.
    const units = mounts.flatMap((mount) => {
      const place = mountPointOf(mount);
      if (place === null || this.#mounts.has(place)) return [];
      this.#mounts.set(place, mount);
      return [mount];
    });
    const started = volumes.filter((entry) => !isStartedByHand(entry) && (startsRemote || !isNetworkVolume(entry)));
    const wanted = units.filter(isStarted);
    const isSure = (mount: FstabEntry) => targetsOf(mount).some((target) => TARGETS.has(target));
    this.#inBoot = this.#reach(started, wanted.filter(isSure), units.filter(isAutomount));
    this.#onUse = this.#reach([], units.filter(isAutomount), []);
    this.#perhaps = this.#reach(
      [],
      wanted.filter((mount) => !isSure(mount)),
      [],
    );
  }

  startOf(entry: CrypttabEntry): Start {
    const mount = this.#inBoot.get(entry);
    if (mount !== undefined) return mount === null ? { by: "target" } : { by: "mount", mount };
    const other = this.#perhaps.get(entry);
    if (other) {
      const why = `line ${other.line} of fstab needs it, if ${targetsOf(other).join(", ")} is part of the boot`;
      return { by: "unsure", why };
    }
    const used = this.#onUse.get(entry);
    if (used) return { by: "use", mount: used };
    return { by: isStartedByHand(entry) ? "hand" : "nobody" };
  }

  /** Everything that these need, and for the sake of which mount: null where a target starts it. */
  #reach(
    volumes: readonly CrypttabEntry[],
    mounts: readonly FstabEntry[],
    automounts: readonly FstabEntry[],
  ): Map<CrypttabEntry | FstabEntry, FstabEntry | null> {
    const found = new Map<CrypttabEntry | FstabEntry, FstabEntry | null>();
    for (const entry of volumes) found.set(entry, null);
    for (const mount of mounts) if (!found.has(mount)) found.set(mount, mount);
    for (const mount of automounts) this.#add(found, needsOfAutomount(mount), mount);
    for (const [node, sake] of found) this.#add(found, "volume" in node ? needsOfVolume(node) : needsOfMount(node), sake);
    return found;
  }

  #add(
    found: Map<CrypttabEntry | FstabEntry, FstabEntry | null>,
    { devices, paths, units }: Needs,
    sake: FstabEntry | null,
  ): void {
    const needed = [
      ...devices.map((path) => this.#volumes.get(simplifyPath(path))),
      ...paths.flatMap(prefixesOf).map((path) => this.#mounts.get(path)),
      ...units.map((name) => this.#named(name)),
    ];
    for (const node of needed) if (node !== undefined && !found.has(node)) found.set(node, sake);
  }

  /** systemd's unit_name_mangle: a path stands for a mount, or for a device. */
  #named(name: string): CrypttabEntry | FstabEntry | undefined {
    if (name.startsWith("/dev/")) return this.#volumes.get(simplifyPath(name));
    if (name.startsWith("/")) return this.#mounts.get(simplifyPath(name));
    const [, instance] = /^systemd-cryptsetup@(.+)\.service$/.exec(name) ?? [];
    return instance === undefined ? undefined : this.#volumes.get(`/dev/mapper/${unescapeUnit(instance)}`);
  }
}

/** systemd-escape --unescape. */
function unescapeUnit(name: string): string {
  const bytes = Buffer.from(name).toString("latin1");
  const plain = bytes.replaceAll("-", "/").replaceAll(/\\x([0-9a-f]{2})/gi, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16)));
  return Buffer.from(plain, "latin1").toString("utf8");
}

function targetsOf(mount: FstabEntry): string[] {
  const named = [...optionValues(mount, "x-systemd.wanted-by"), ...optionValues(mount, "x-systemd.required-by")];
  return named.length === 0 ? ["local-fs.target"] : named;
}

function needsOfVolume(entry: CrypttabEntry): Needs {
  return { devices: devicesOf(entry), paths: pathsOf(entry), units: [] };
}

function needsOfMount(mount: FstabEntry): Needs {
  const source = sourcePathOf(mount);
  const place = mountPointOf(mount);
  const parent = place === null || mount.type === "swap" ? [] : prefixesOf(place).filter((path) => path !== place);
  const bound = bindSourceOf(mount);
  return {
    devices: bound === null && source.startsWith("/dev/") && place !== "/" ? [source] : [],
    paths: [...parent.slice(-1), ...(bound === null ? [] : [bound]), ...optionValues(mount, "x-systemd.requires-mounts-for")],
    units: optionValues(mount, "x-systemd.requires"),
  };
}

function needsOfAutomount(mount: FstabEntry): Needs {
  const place = mountPointOf(mount);
  return {
    devices: [],
    paths: [
      ...(place === null ? [] : prefixesOf(place).filter((path) => path !== place).slice(-1)),
      ...optionValues(mount, "x-systemd.requires-mounts-for"),
    ],
    units: optionValues(mount, "x-systemd.requires"),
  };
}
