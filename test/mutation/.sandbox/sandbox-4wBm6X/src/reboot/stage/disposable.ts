// @ts-nocheck
import { createHash } from "node:crypto";
import { NightlatchError } from "../../core/errors.ts";
import { Secret } from "../../core/secret.ts";
import type { DisposableRecord } from "../../formats/own/disposable.ts";
import { runCryptsetup, type Volume } from "../../luks/cryptsetup/cryptsetup.ts";
import { type Authority, addKeyslot, opensSlot, preferKeyslot } from "../../luks/cryptsetup/keyslots.ts";
import {
  addRecord,
  type DisposablePower,
  type HeldRecord,
  listRecords,
  removeRecord,
} from "../../luks/disposable-record.ts";
import { readVolumeHeader, type VolumeHeader } from "../../luks/header/header.ts";
import { refuseRequirements } from "../../luks/header/requirements.ts";
import { countSlots, findFreeSlot, findSlot, keyslotHashOf, type Slot } from "../../luks/header/slots.ts";
import type { Lock, System } from "../../system/port.ts";

const KEY_BYTES = 64;
const LOCK_WAIT_MS = 30_000;

/** Where and under which circumstances a key is staged. */
export interface StagingContext {
  readonly stateFolder: string;
  readonly bootId: string;
  /** Seconds since the epoch. */
  readonly expires: number;
}

/**
 * Header changes of this machine wait for each other (docs/format/intent.md); binding takes the
 * same lock.
 */
export async function lockHeaders(system: Pick<System, "lock" | "makeDirectory">, stateFolder: string): Promise<Lock> {
  await system.makeDirectory(stateFolder, 0o700);
  return system.lock(`${stateFolder}/lock`, LOCK_WAIT_MS);
}

/**
 * Puts a new disposable key into a slot of its own and proves that it opens it. A failure is undone
 * before it is thrown; a crash at any step leaves a record by which the next run, boot or timer
 * undoes it. No slot but the new one is written to.
 * @throws NightlatchError reboot/slots-full, reboot/not-proved, luks/*
 */
export async function stageDisposableKey(
  system: DisposablePower & Pick<System, "random">,
  volume: Volume,
  authority: Authority,
  context: StagingContext,
): Promise<Secret> {
  const header = await readVolumeHeader(system, volume.device);
  refuseRequirements(header, volume.device);
  const slot = findFreeSlot(header);
  if (slot === null) throw slotsFull(volume.device, countSlots(header).total);
  const guard = await guardOf(system, volume.device, header, authority.slot);
  const iterations = 1001 + (system.random(2).readUInt16LE() % 1024);
  const record: DisposableRecord = { slot, iterations, boot: context.bootId, expires: context.expires, guard };
  const key = Secret.take(system.random(KEY_BYTES));
  const held = await addRecord(system, context.stateFolder, volume, header, record);
  try {
    const added = { number: slot, iterations, hash: keyslotHashOf(header), passphrase: key };
    await addKeyslot(system, volume, added, authority);
    // An initramfs names no slot, and would try the passphrase's slow KDF first.
    if (header.version === 2) await preferKeyslot(system, volume, slot);
    if (!(await opensSlot(system, volume, slot, key))) {
      throw new NightlatchError("reboot/not-proved", `${volume.device}: the new key does not open its slot`);
    }
    return key;
  } catch (error) {
    key.wipe();
    await removeDisposable(system, volume, context.stateFolder, held);
    throw error;
  }
}

function slotsFull(device: string, total: number): NightlatchError {
  return new NightlatchError("reboot/slots-full", `${device} has all of its ${total} keyslots in use`, {
    meaning: "The volume was not changed.",
    remedy: `Free one that is not needed: cryptsetup luksKillSlot ${device} N`,
  });
}

async function guardOf(system: Pick<System, "readAt">, device: string, header: VolumeHeader, slot: number) {
  const digest = await slotDigest(system, device, findSlot(header, slot));
  if (digest !== null) return { slot, digest };
  throw new NightlatchError("reboot/not-proved", `${device}: slot ${slot} changed while it was looked at`, {
    meaning: "The volume was not changed.",
    remedy: "Try again.",
  });
}

/**
 * SHA-256 over all of a slot, parameters and key material: the same digest means that what opened
 * it before opens it now. Null for a slot that is not in use.
 */
async function slotDigest(
  system: Pick<System, "readAt">,
  device: string,
  slot: Slot | undefined,
): Promise<string | null> {
  if (slot === undefined) return null;
  const { number, pbkdf2Iterations, salt, area } = slot;
  const material = await system.readAt(device, area.offsetBytes, area.lengthBytes);
  return createHash("sha256")
    .update(JSON.stringify({ number, pbkdf2Iterations, salt, area }))
    .update(material)
    .digest("hex");
}

/**
 * Removes every record of a volume that `which` says, with its slot.
 * @returns what was removed
 * @throws as removeDisposable
 */
export async function removeDisposables(
  system: DisposablePower,
  volume: Volume,
  stateFolder: string,
  which: (record: DisposableRecord) => boolean,
): Promise<DisposableRecord[]> {
  const held = await listRecords(system, stateFolder, await readVolumeHeader(system, volume.device));
  const chosen = held.filter(({ record }) => which(record));
  for (const one of chosen) await removeDisposable(system, volume, stateFolder, one);
  return chosen.map(({ record }) => record);
}

/**
 * Removes a slot that is ours and then its record, each seen to be gone, as
 * docs/format/disposable.md says.
 * @throws NightlatchError reboot/left-over where that cannot be done safely; both stay then
 */
async function removeDisposable(
  system: DisposablePower,
  volume: Volume,
  stateFolder: string,
  held: HeldRecord,
): Promise<void> {
  const { device } = volume;
  const header = await readVolumeHeader(system, device);
  const { slot, guard, iterations } = held.record;
  if (isOurs(header, slot, iterations)) {
    const digest = await slotDigest(system, device, findSlot(header, guard.slot));
    if (digest !== guard.digest) throw unguarded(device, slot, held);
    await runCryptsetup(system, volume, ["luksKillSlot", "-q", device, String(slot)]);
    if (findSlot(await readVolumeHeader(system, device), slot) !== undefined) throw unguarded(device, slot, held);
  }
  await removeRecord(system, stateFolder, volume, header, held);
}

/** Its fingerprint, and nobody else's claim on it. */
function isOurs(header: VolumeHeader, slot: number, iterations: number): boolean {
  if (findSlot(header, slot)?.pbkdf2Iterations !== iterations) return false;
  if (header.version === 1) return header.meta?.some((entry) => entry.keyslot === slot) !== true;
  return ![...header.tokens.values()].some((token) => (token["keyslots"] as readonly string[]).includes(String(slot)));
}

function unguarded(device: string, slot: number, held: HeldRecord): NightlatchError {
  const token = held.id === null ? "" : `, then: cryptsetup token remove --token-id ${held.id} ${device}`;
  return new NightlatchError(
    "reboot/left-over",
    `${device}: slot ${slot} holds a disposable key that cannot be removed safely`,
    {
      meaning:
        "The slot that proved to open the volume has changed since. The disposable key itself is gone: the slot opens nothing.",
      remedy: `Make sure that your passphrase works, then: cryptsetup luksKillSlot ${device} ${slot}${token}`,
    },
  );
}
