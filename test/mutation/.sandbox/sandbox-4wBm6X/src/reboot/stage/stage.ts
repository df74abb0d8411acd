// @ts-nocheck
import { buildOverlay } from "../../boot/overlay/overlay.ts";
import { NightlatchError } from "../../core/errors.ts";
import type { Secret } from "../../core/secret.ts";
import type { Authority } from "../../luks/cryptsetup/keyslots.ts";
import type { Lock } from "../../system/port.ts";
import type { PlannedVolume, RebootPlan } from "../plan/reboot-plan.ts";
import type { PreparedCarry, StagePower } from "./carrier.ts";
import { lockHeaders, removeDisposables, type StagingContext, stageDisposableKey } from "./disposable.ts";

/** What a person is told on the way. */
type StageProgress = (step: string) => void;

/** Sizes of what the next boot will load. */
export interface Staged {
  readonly overlayBytes: number;
  readonly initramfsBytes: number;
}

/**
 * Stages a boot: a disposable key for each volume that needs one, proved, and all of them loaded
 * into what carries them. When it returns, that boot comes back by itself; when it throws, nothing
 * is left.
 * @param authorities what opens each device that gets a key
 */
export async function stageBoot(
  system: StagePower,
  carry: PreparedCarry,
  plan: RebootPlan,
  authorities: ReadonlyMap<string, Authority>,
  context: StagingContext,
  progress: StageProgress,
): Promise<Staged> {
  const keys = new Map<PlannedVolume, Secret>();
  await using lock = await lockHeaders(system, context.stateFolder);
  try {
    for (const volume of plan.volumes) {
      if (volume.opening.kind !== "disposable") continue;
      const authority = authorities.get(volume.found.device);
      if (authority === undefined) throw new NightlatchError("reboot/not-proved", `${volume.name}: nothing opens it`);
      progress(`${volume.name}: a disposable key`);
      keys.set(volume, await stageDisposableKey(system, { device: volume.found.device, lock }, authority, context));
    }
    progress("handing the keys over");
    return await load(plan, keys, (overlay) => carry.load(system, overlay, context, lock));
  } catch (error) {
    for (const failure of await undoStaging(system, carry, plan, context, lock))
      progress(`left over: ${failure.message}`);
    throw error;
  } finally {
    for (const key of keys.values()) key.wipe();
  }
}

async function load(
  { generator, facts, volumes, initrds }: RebootPlan,
  keys: ReadonlyMap<PlannedVolume, Secret>,
  carry: (overlay: Buffer) => Promise<void>,
): Promise<Staged> {
  const overlay =
    generator === null || facts === null
      ? Buffer.alloc(0)
      : buildOverlay({ generator, facts, ...split(volumes, keys) });
  try {
    await carry(overlay);
    return { overlayBytes: overlay.length, initramfsBytes: initrds.reduce((sum, initrd) => sum + initrd.length, 0) };
  } finally {
    overlay.fill(0);
  }
}

function split(volumes: readonly PlannedVolume[], keys: ReadonlyMap<PlannedVolume, Secret>) {
  const keyOf = (volume: PlannedVolume) => keys.get(volume)?.reveal() ?? null;
  return {
    volumes: volumes.flatMap((volume) =>
      volume.stage === "system" ? [] : [{ volume: volume.line, key: keyOf(volume) }],
    ),
    later: volumes.flatMap((volume) => {
      const key = volume.stage === "system" ? keyOf(volume) : null;
      return key === null ? [] : [{ name: volume.name, key }];
    }),
  };
}

/**
 * Undoes all that a staging of this boot did.
 * @returns what is left, for the clean-up to try again
 */
async function undoStaging(
  system: StagePower,
  carry: PreparedCarry,
  plan: RebootPlan,
  context: StagingContext,
  lock: Lock,
): Promise<readonly NightlatchError[]> {
  const left = [...(await carry.undo(system))];
  for (const { found } of plan.volumes) {
    if (found.header === null) continue;
    const volume = { device: found.device, lock };
    try {
      await removeDisposables(system, volume, context.stateFolder, (record) => record.boot === context.bootId);
    } catch (error) {
      if (!(error instanceof NightlatchError)) throw error;
      left.push(error);
    }
  }
  return left;
}
