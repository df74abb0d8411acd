// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";
import type { OneshotMark } from "../../formats/own/oneshot-mark.ts";
import { eraseOneshotFile, listEmptyFolders, listOneshotFiles, removeOneshotFolders } from "./files.ts";
import { grubOneshot } from "./grub/grub.ts";
import {
  type HeldOneshot,
  type OneshotLoader,
  type OneshotPower,
  type OneshotRequest,
  type PreparedOneshot,
  unavailable,
} from "./loader.ts";
import { systemdBootOneshot } from "./systemd-boot.ts";

/**
 * Every boot loader that can boot another entry once. A new one is a folder or file beside these,
 * and a line here.
 */
const LOADERS: readonly OneshotLoader[] = [grubOneshot, systemdBootOneshot];

/** What is no boot loader, by the `source` of its entries. */
const NO_LOADER: Readonly<Record<string, string>> = {
  options: "--kernel names no entry of a boot loader",
  "newest kernel": "no boot loader's configuration was found",
};

/**
 * Finds out whether the entry's boot loader can boot another entry once. Nothing is changed.
 * @throws NightlatchError oneshot/unavailable where it cannot, or not only once
 */
export async function prepareOneshot(
  system: OneshotPower,
  request: OneshotRequest,
  loaders: readonly OneshotLoader[] = LOADERS,
): Promise<PreparedOneshot> {
  const { source } = request.entry;
  const loader = loaders.find((one) => one.source === source);
  if (loader !== undefined) return loader.prepare(system, request);
  const why = NO_LOADER[source];
  if (why !== undefined) throw unavailable(why, "Use kexec (nightlatch reboot --via kexec).");
  throw unavailable(`${source} has no one-time choice`, "Use kexec, GRUB or systemd-boot.");
}

/** All that is there of a one-time boot: whole, or left by a run that was cut off. */
export interface FoundOneshot {
  readonly loader: OneshotLoader["name"] | null;
  readonly held: HeldOneshot | null;
  /** Files with keys, or parts of them. */
  readonly files: readonly string[];
  readonly mark: OneshotMark | null;
  /** Whether the next boot takes it with its keys. */
  readonly isArmed: boolean;
}

/**
 * Finds what there is of a one-time boot, by what lies on the disk and nothing else. Null where
 * there is nothing.
 * @throws NightlatchError oneshot/malformed, file/*
 */
export async function findOneshot(
  system: OneshotPower,
  loaders: readonly OneshotLoader[] = LOADERS,
): Promise<FoundOneshot | null> {
  const files = await listOneshotFiles(system);
  for (const loader of loaders) {
    const held = await loader.find(system);
    if (held === null) continue;
    const { mark } = held;
    const isArmed = held.isChosen && held.entry !== null && mark !== null && files.includes(mark.overlay);
    return { loader: loader.name, held, files, mark, isArmed };
  }
  if ((await listEmptyFolders(system)).length === 0 && files.length === 0) return null;
  return { loader: null, held: null, files, mark: null, isArmed: false };
}

interface Disarmed {
  /** What is gone, for a person: the choice, the entry, files by their paths. */
  readonly removed: readonly string[];
  readonly failures: readonly NightlatchError[];
}

/**
 * Undoes a one-time boot, whatever there is of it. The choice goes first, so that nothing boots an
 * entry that is half gone; then the entry; then the keys, overwritten. If one step fails, the
 * others are tried all the same.
 */
export async function disarmOneshot(
  system: OneshotPower,
  loaders: readonly OneshotLoader[] = LOADERS,
): Promise<Disarmed> {
  const removed: string[] = [];
  const failures: NightlatchError[] = [];
  const attempt = async (act: () => Promise<readonly string[]>) => {
    try {
      removed.push(...(await act()));
    } catch (error) {
      if (!(error instanceof NightlatchError)) throw error;
      failures.push(error);
    }
  };
  for (const loader of loaders)
    await attempt(async () => ((await loader.unchoose(system)) ? [`the one-time choice of ${loader.name}`] : []));
  for (const loader of loaders) await attempt(() => loader.removeEntry(system));
  for (const path of await listOneshotFiles(system)) {
    await attempt(async () => {
      await eraseOneshotFile(system, path);
      return [path];
    });
  }
  await attempt(async () => {
    await removeOneshotFolders(system);
    return [];
  });
  return { removed, failures };
}
