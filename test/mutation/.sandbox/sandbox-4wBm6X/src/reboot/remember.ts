// @ts-nocheck
import { SMALL_PROGRAM_MS } from "../core/deadlines.ts";
import { NightlatchError } from "../core/errors.ts";
import { Secret } from "../core/secret.ts";
import { luksBeneath } from "../host/block-devices.ts";
import { type Authority, addKeyslot, findSlotOpenedBy, killKeyslot } from "../luks/cryptsetup/keyslots.ts";
import { readVolumeHeader } from "../luks/header/header.ts";
import { findFreeSlot, keyslotHashOf } from "../luks/header/slots.ts";
import { REMEMBERED_KEY_BYTES, rememberedKey, rememberedKeyFile } from "../luks/remembered-key.ts";
import type { System } from "../system/port.ts";
import { type Cleaned, cleanUpWith } from "./clean-up.ts";
import type { PlannedVolume } from "./plan/reboot-plan.ts";
import type { StagePower } from "./stage/carrier.ts";
import { lockHeaders } from "./stage/disposable.ts";

type RememberPower = Pick<
  System,
  | "run"
  | "lock"
  | "readAt"
  | "readFile"
  | "readFileIfPresent"
  | "writeFile"
  | "removeFile"
  | "makeDirectory"
  | "stat"
  | "random"
>;

/** Random, so it need not be slow; not a disposable key's number, which starts at 1001. */
const ITERATIONS = 1000;

/** Whether there is a remembered key. */
export async function isRemembered(system: Pick<System, "stat">, stateFolder: string): Promise<boolean> {
  return (await system.stat(rememberedKeyFile(stateFolder))) !== null;
}

/**
 * Keeps a key on the encrypted root that opens every volume of the plan, so that later reboots ask
 * nobody. The file comes first: cut off at any point, the next run finds by trying it which volumes
 * have it.
 * @throws NightlatchError reboot/blocked where the folder does not lie on an encrypted volume,
 * reboot/slots-full
 */
export async function remember(
  system: RememberPower,
  volumes: readonly PlannedVolume[],
  authorities: ReadonlyMap<string, Authority>,
  stateFolder: string,
): Promise<void> {
  await using lock = await lockHeaders(system, stateFolder);
  // /var may be a file system of its own: what counts is where the key comes to lie.
  if ((await luksBeneath(system, stateFolder)).length === 0) {
    throw new NightlatchError(
      "reboot/blocked",
      `${stateFolder} is not on an encrypted volume: a key cannot be kept there`,
      {
        meaning: "No key was made; no volume was changed.",
        remedy: "Type the passphrase at each reboot, or name a folder on an encrypted volume with --state.",
      },
    );
  }
  const known = await rememberedKey(system, stateFolder);
  using key = known ?? Secret.take(system.random(REMEMBERED_KEY_BYTES));
  if (known === null) await system.writeFile(rememberedKeyFile(stateFolder), key.reveal(), 0o400);
  for (const { found } of volumes.filter(({ opening }) => opening.kind === "disposable")) {
    const volume = { device: found.device, lock };
    const header = await readVolumeHeader(system, volume.device);
    const authority = authorities.get(volume.device);
    if (authority === undefined || (await findSlotOpenedBy(system, volume, header, key)) !== null) continue;
    const number = findFreeSlot(header);
    if (number === null) throw new NightlatchError("reboot/slots-full", `${volume.device} has no free keyslot`);
    const slot = { number, iterations: ITERATIONS, hash: keyslotHashOf(header), passphrase: key };
    await addKeyslot(system, volume, slot, authority);
  }
}

/** What went with the remembered key. */
export interface RemovedKey {
  /** How many volumes lost a keyslot. */
  readonly slots: number;
  readonly staged: Cleaned;
}

/**
 * Removes the remembered key's slots, each once a passphrase was seen to open another one, and then
 * the file. What is staged is cancelled before: the record of a disposable key that the remembered
 * one made names its slot, without which it could not be removed safely. Cut off at any point, the
 * next run ends it: the file goes last.
 * @param proof what opens the volumes besides it
 * @returns what was removed, and what became of what was staged; null where no key is remembered
 * @throws NightlatchError reboot/wrong-key, and nothing was changed; what kept a staged key's slot
 * from going now and may not the next time, and the remembered key stays
 */
export async function removeRememberedKey(
  system: RememberPower & StagePower & Pick<System, "nowMs">,
  devices: readonly string[],
  proof: Secret,
  stateFolder: string,
): Promise<RemovedKey | null> {
  await using lock = await lockHeaders(system, stateFolder);
  using key = await rememberedKeyOrNone(system, stateFolder);
  if (key === null) return null;
  const slots = new Map<string, number>();
  for (const device of devices) {
    const header = await readVolumeHeader(system, device);
    const slot = await findSlotOpenedBy(system, { device, lock }, header, key);
    if (slot === null) continue;
    const other = await findSlotOpenedBy(system, { device, lock }, header, proof, new Set([slot]));
    if (other === null || other === slot) {
      throw new NightlatchError(
        "reboot/wrong-key",
        `${device} is opened by no other slot with the passphrase that was given`,
        {
          meaning: "Nothing was changed.",
        },
      );
    }
    slots.set(device, slot);
  }
  const staged = await cleanUpWith(system, stateFolder, lock, true);
  // What is left over cannot be removed with that slot either.
  const passing = staged.failures.find(({ code }) => !code.endsWith("/left-over"));
  if (passing !== undefined) throw passing;
  for (const [device, slot] of slots) await killKeyslot(system, { device, lock }, slot, proof);
  await system.run({
    argv: ["shred", "--iterations=1", "--zero", rememberedKeyFile(stateFolder)],
    timeoutMs: SMALL_PROGRAM_MS,
  });
  await system.removeFile(rememberedKeyFile(stateFolder));
  return { slots: slots.size, staged };
}

async function rememberedKeyOrNone(system: RememberPower, stateFolder: string): Promise<Secret | null> {
  const bytes = await system.readFileIfPresent(rememberedKeyFile(stateFolder), REMEMBERED_KEY_BYTES);
  return bytes === null ? null : Secret.take(bytes);
}
