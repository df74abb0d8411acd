// @ts-nocheck
import type { EarlyLack } from "../boot/initramfs/clevis.ts";
import type { InitramfsFacts } from "../boot/initramfs/inspect.ts";
import { neededVolumes } from "../boot/initramfs/needed.ts";

/** An initramfs that boots today, and one that was made to take its place. */
interface Replacement {
  readonly before: InitramfsFacts;
  readonly after: InitramfsFacts;
  readonly cmdline: string;
  /** The kernel's release. */
  readonly release: string;
}

/**
 * Tells why a new initramfs may not take the place of one that boots: it is of another kind, opens
 * fewer volumes, or has lost a kernel module or a program; or it lacks what the binding needs, by
 * the judgement of `check`. Null where nothing speaks against it.
 * @param lacks of the new one, for the volume's binding
 * @throws NightlatchError crypttab/malformed, boot/unsupported
 */
export function whyNotProved(
  { before, after, cmdline, release }: Replacement,
  lacks: readonly Pick<EarlyLack, "what">[],
): string | null {
  if (after.generator === null || after.generator !== before.generator)
    return "it is not made as the one that boots is";
  if (!after.opensLuks) return "it cannot open LUKS volumes";
  const opened = (facts: InitramfsFacts) =>
    neededVolumes(after.generator ?? "initramfs-tools", facts, cmdline).volumes.map(
      ({ name, source }) => `${name} ${source}`,
    );
  const still = new Set(opened(after));
  const closed = opened(before).filter((volume) => !still.has(volume));
  if (closed.length > 0) return `it does not open ${closed.join(", ")}`;
  if (!after.releases.includes(release)) return `it holds no modules of the kernel ${release}`;
  const lost = [...before.names].filter(
    (name) => isNeeded(name) && !after.names.has(name) && !isReplacedShell(name, after),
  );
  if (lost.length > 0) return `it has lost ${lost.slice(0, 3).join(", ")}${lost.length > 3 ? " and more" : ""}`;
  const [lack] = lacks;
  return lack?.what ?? null;
}

/** What a boot may need, and no addition takes away: kernel modules and programs. */
const isNeeded = (name: string): boolean => /^usr\/(?:lib\/modules\/.*\.ko(?:\.\w+)?|bin\/[^/]+)$/.test(name);

/**
 * dracut takes one shell for all (modules.d/*sh): where clevis brings bash, dash stays out. A
 * script that names another one in its first line brings it along (inst_script).
 */
const SHELLS: readonly string[] = ["usr/bin/bash", "usr/bin/dash", "usr/bin/mksh"];
const isReplacedShell = (name: string, after: InitramfsFacts): boolean =>
  SHELLS.includes(name) && SHELLS.some((shell) => after.names.has(shell)) && after.leads("bin/sh");
