// @ts-nocheck
import { type CrypttabEntry, isNetworkVolume, isStartedByHand, mayFail } from "./crypttab.ts";
import { needsOfVolume } from "./crypttab-places.ts";
import {
  type FstabEntry,
  isAutomount,
  isStarted,
  mountPointOf,
  needsOfAutomount,
  needsOfMount,
  takenMounts,
  targetsOf,
} from "./fstab.ts";
import { prefixesOf, simplifyPath, type UnitNeeds, unescapeUnit } from "./unit-path.ts";

/** A line of one of the files, and with it the unit that systemd makes of it. */
type BootNode = CrypttabEntry | FstabEntry;

/** What a target of the boot starts. */
interface Member {
  readonly node: BootNode;
  readonly targets: readonly string[];
  /** Whether the target fails with it. */
  readonly isRequired: boolean;
  /** It is there to mount at the first use. */
  readonly isAutomount: boolean;
}

/** A unit that systemd cannot load, in a target that needs it. */
export interface BrokenUnit {
  readonly target: string;
  readonly why: string;
}

interface BootLines {
  readonly volumes: readonly CrypttabEntry[];
  readonly mounts: readonly FstabEntry[];
  readonly broken: readonly BrokenUnit[];
  /** Targets that are part of the boot. */
  readonly targets: ReadonlySet<string>;
}

/** What is started, and for the sake of which mount: null where a target of volumes starts it. */
type Reached = Map<BootNode, FstabEntry | null>;

/**
 * Who needs whom in a boot: the jobs of systemd's transaction. Where a unit needs one that cannot
 * be had, it is left to chance which of its other needs are started, and so for whatever requires
 * it.
 */
export class BootGraph {
  readonly #volumes = new Map<string, CrypttabEntry>();
  readonly #mounts = new Map<string, FstabEntry>();
  readonly #doubts = new Map<BootNode, string>();
  /** In the boot for sure. */
  readonly started: Reached = new Map();
  /** In the boot if what is in doubt goes well; by a target that is not known. */
  readonly doubtful: Reached = new Map();
  /** In the boot for sure, without what targets of volumes start. */
  readonly byMounts: Reached = new Map();
  readonly whyDoubtful = new Map<BootNode, string>();
  /** Once somebody looks at a mount point. */
  readonly onUse: Reached = new Map();

  constructor({ volumes, mounts, broken, targets }: BootLines) {
    for (const entry of volumes) this.#volumes.set(`/dev/mapper/${entry.volume}`, entry);
    const members: Member[] = volumes.filter((entry) => !isStartedByHand(entry)).map(volumeMember);
    for (const mount of takenMounts(mounts)) {
      this.#mounts.set(mountPointOf(mount) ?? "", mount);
      if (isStarted(mount) || isAutomount(mount)) members.push(mountMember(mount));
    }
    this.#findDoubts();
    const failed = new Map<string, string>(broken.map(({ target, why }) => [target, why]));
    for (const member of members) {
      const doubt = this.#doubtOf(member);
      if (doubt !== null && member.isRequired) for (const target of member.targets) failed.set(target, doubt);
    }
    for (const member of members) this.#start(member, targets, failed);
    for (const [node, sake] of this.started) if (sake !== null) this.byMounts.set(node, sake);
    for (const [node, sake] of this.byMounts) this.#follow(this.byMounts, needsOf(node), sake);
    for (const [node, sake] of this.started) this.#follow(this.started, needsOf(node), sake);
    for (const [node, sake] of this.doubtful) this.#follow(this.doubtful, needsOf(node), sake, node);
    for (const [node, sake] of this.onUse) this.#follow(this.onUse, needsOf(node), sake);
  }

  #start(member: Member, targets: ReadonlySet<string>, failed: ReadonlyMap<string, string>): void {
    const { node, isAutomount: isTrap } = member;
    const sake = "volume" in node ? null : node;
    const unknown = member.targets.filter((target) => !targets.has(target));
    const isKnown = "volume" in node || unknown.length < member.targets.length;
    const why =
      this.#doubtOf(member) ??
      member.targets.flatMap((target) => failed.get(target) ?? [])[0] ??
      (isKnown ? null : `it is not told here whether ${unknown.join(", ")} is part of the boot`);
    if (isTrap && sake !== null) this.onUse.set(sake, sake);
    if (unknown.length === member.targets.length && isKnown) return;
    const into = why === null ? this.started : this.doubtful;
    if (isTrap && sake !== null) this.#follow(into, needsOfAutomount(sake), sake);
    else if (!into.has(node)) into.set(node, sake);
    if (why !== null && !isTrap) this.whyDoubtful.set(node, why);
    if (why !== null && isTrap && sake !== null)
      for (const needed of this.#needed(needsOfAutomount(sake)).nodes) this.whyDoubtful.set(needed, why);
  }

  #follow(into: Reached, needs: UnitNeeds, sake: FstabEntry | null, from?: BootNode): void {
    for (const node of this.#needed(needs).nodes) {
      if (into.has(node)) continue;
      into.set(node, sake);
      const why = from === undefined ? undefined : this.whyDoubtful.get(from);
      if (why !== undefined && !this.whyDoubtful.has(node)) this.whyDoubtful.set(node, why);
    }
  }

  #doubtOf({ node, isAutomount: isTrap }: Member): string | null {
    if (!isTrap || "volume" in node) return this.#doubts.get(node) ?? null;
    const { nodes } = this.#needed(needsOfAutomount(node));
    return nodes.map((needed) => this.#doubts.get(needed)).find((doubt) => doubt !== undefined) ?? null;
  }

  /** Why a unit may get no job: it, or what it needs, needs what is not there. */
  #findDoubts(): void {
    const needing = new Map<BootNode, BootNode[]>();
    for (const node of [...this.#volumes.values(), ...this.#mounts.values()]) {
      const { nodes, missing } = this.#needed(needsOf(node));
      for (const needed of nodes) {
        const others = needing.get(needed) ?? [];
        others.push(node);
        needing.set(needed, others);
      }
      const file = "volume" in node ? "crypttab" : "fstab";
      const [first] = missing;
      if (first === undefined) continue;
      this.#doubts.set(node, `line ${node.line} of ${file} needs ${first}, which neither of these files makes`);
    }
    // A map hands out what is put in while it is read.
    for (const [node, doubt] of this.#doubts) {
      for (const other of needing.get(node) ?? []) if (!this.#doubts.has(other)) this.#doubts.set(other, doubt);
    }
  }

  #needed({ devices, paths, units }: UnitNeeds): { nodes: BootNode[]; missing: string[] } {
    const named = units.map((name) => ({ name, node: this.#named(name) }));
    const nodes = [
      ...devices.map((path) => this.#volumes.get(simplifyPath(path))),
      ...paths.flatMap(prefixesOf).map((path) => this.#mounts.get(path)),
      ...named.map(({ node }) => node),
    ];
    return {
      nodes: nodes.filter((node) => node !== undefined),
      // A device can always be waited for; of other units it is not known here whether they are
      // there.
      missing: named
        .filter(({ name, node }) => node === undefined && /^\/(?!dev\/)|^systemd-cryptsetup@/.test(name))
        .map(({ name }) => name),
    };
  }

  /** systemd's unit_name_mangle: a path stands for a mount, or for a device. */
  #named(name: string): BootNode | undefined {
    if (name.startsWith("/dev/")) return this.#volumes.get(simplifyPath(name));
    if (name.startsWith("/")) return this.#mounts.get(simplifyPath(name));
    const [, instance] = /^systemd-cryptsetup@(.+)\.service$/.exec(name) ?? [];
    return instance === undefined ? undefined : this.#volumes.get(`/dev/mapper/${unescapeUnit(instance)}`);
  }
}

function needsOf(node: BootNode): UnitNeeds {
  return "volume" in node ? needsOfVolume(node) : needsOfMount(node);
}

function volumeMember(entry: CrypttabEntry): Member {
  return { node: entry, targets: [volumeTargetOf(entry)], isRequired: !mayFail(entry), isAutomount: false };
}

function volumeTargetOf(entry: CrypttabEntry): string {
  return isNetworkVolume(entry) ? "remote-cryptsetup.target" : "cryptsetup.target";
}

function mountMember(mount: FstabEntry): Member {
  return { node: mount, ...targetsOf(mount), isAutomount: isAutomount(mount) };
}
