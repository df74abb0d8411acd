// @ts-nocheck
import type { InitramfsVolume } from "../../formats/initramfs/crypttab.ts";
import { type CrypttabEntry, devicePathOf, findOption } from "../../formats/systemd/crypttab.ts";
import type { FstabEntry } from "../../formats/systemd/fstab.ts";

/** All that tells at which stage of the boot a volume is opened. */
export interface StageFacts {
  /** null: not in crypttab. */
  readonly entry: CrypttabEntry | null;
  /** In lower case; null where the header cannot be read. */
  readonly uuid: string | null;
  /** fstab's entries on its mapping. */
  readonly mounts: readonly FstabEntry[];
  /**
   * UUIDs, in lower case, of the volumes beneath what the running system's initramfs had to find,
   * through LVM or whatever lies between.
   */
  readonly beneath: Readonly<Record<"root" | "usr" | "resume", ReadonlySet<string>>>;
  /** What the initramfs that will boot opens. */
  readonly inside: readonly InitramfsVolume[];
}

/** Why the initramfs opens a volume. */
export interface EarlyReason {
  /** e.g. `the root lies on it`. */
  readonly why: string;
  /** Whether the machine does not start without it. */
  readonly isNeeded: boolean;
}

/** Tells why it is the initramfs that opens a volume. Null where the system does, after it. */
export function whyEarly({ entry, uuid, mounts, beneath, inside }: StageFacts): EarlyReason | null {
  const isMountedAt = (target: string) => mounts.some((mount) => mount.target === target);
  const isBeneath = (what: "root" | "usr" | "resume") => uuid !== null && beneath[what].has(uuid);
  if (isBeneath("root") || isMountedAt("/")) return { why: "the root lies on it", isNeeded: true };
  if (isBeneath("usr") || isMountedAt("/usr")) return { why: "/usr lies on it", isNeeded: true };
  if (isBeneath("resume")) return { why: "the machine resumes from it", isNeeded: false };
  const mark = entry === null ? undefined : findOption(entry, "initramfs", "x-initrd.attach");
  if (mark !== undefined) return { why: `crypttab marks it ${mark.name}`, isNeeded: false };
  if (findInside({ entry, uuid }, inside) !== null) return { why: "the initramfs names it", isNeeded: false };
  return null;
}

/**
 * Finds the line by which an initramfs opens a volume. Generators write the name and the device in
 * their own ways. Null where there is none.
 */
export function findInside(
  { entry, uuid }: Pick<StageFacts, "entry" | "uuid">,
  inside: readonly InitramfsVolume[],
): InitramfsVolume | null {
  const found = inside.find(({ name, source }) => {
    const bare = bareUuid(source);
    if (uuid !== null && bare === uuid) return true;
    if (entry === null) return false;
    if (devicePathOf(source) === devicePathOf(entry.device)) return true;
    // By name only where the device does not say that it is another one.
    return name === entry.volume && (bare === null || uuid === null);
  });
  return found ?? null;
}

function bareUuid(source: string): string | null {
  const [, uuid] = /^(?:UUID=|\/dev\/disk\/by-uuid\/)"?([0-9A-Fa-f-]{36})"?$/.exec(source) ?? [];
  return uuid?.toLowerCase() ?? null;
}
