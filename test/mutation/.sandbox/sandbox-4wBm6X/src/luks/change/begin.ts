// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";
import type { Secret } from "../../core/secret.ts";
import type { Intent } from "../../formats/own/intent.ts";
import type { Volume } from "../cryptsetup/cryptsetup.ts";
import { findSlotOpenedBy } from "../cryptsetup/keyslots.ts";
import { listTokens } from "../header/bindings.ts";
import { readVolumeHeader, type VolumeHeader } from "../header/header.ts";
import { refuseRequirements } from "../header/requirements.ts";
import { listBackups } from "./backup.ts";
import type { Change, Prove, Tell } from "./change.ts";
import type { ChangePower, Ledger } from "./ledger.ts";
import { luks1Ledger } from "./luks1-ledger.ts";
import { luks2Ledger } from "./luks2-ledger.ts";
import { readIntentRecord } from "./records.ts";
import { removeBackups, settleIntents } from "./settle.ts";

/**
 * A volume that no other run of ours changes meanwhile, and what is known of it without a
 * passphrase.
 */
export interface HeldVolume extends AsyncDisposable {
  readonly volume: Volume;
  readonly uuid: string;
  readonly stateFolder: string;
  readonly ledger: Ledger;
  /**
   * Intents that earlier runs left. While there are any, a change settles them first, and what the
   * header shows may go.
   */
  readonly left: readonly Intent[];
  /** Header backups that nothing of what was left explains; a change tells anew. */
  readonly keptBackups: readonly string[];
}

interface ChangeRequest {
  /**
   * Asked for a passphrase once the volume is known to be one that can be changed, and again, with
   * the number of tries so far, where what it gave opens nothing. null: nobody is to be asked
   * again. The change owns what it gives and wipes it.
   */
  readonly passphrase: (tries: number) => Promise<Secret | null>;
  readonly prove: Prove;
  readonly tell: Tell;
}

/** As long as a person waits for another run without wondering. */
const LOCK_WAIT_MS = 10_000;

/**
 * Does all that comes before a header change and needs no passphrase: it refuses what cannot be
 * changed, and takes the lock.
 * @param stateFolder the machine's; made where it is missing
 * @throws NightlatchError system/busy, luks/requirements, luks/unknown-intent, and as
 *   readVolumeHeader
 */
export async function holdVolume(system: ChangePower, device: string, stateFolder: string): Promise<HeldVolume> {
  refuseUnchangeable(await readVolumeHeader(system, device), device);
  await system.makeDirectory(stateFolder, 0o700);
  const lock = await system.lock(`${stateFolder}/lock`, LOCK_WAIT_MS);
  try {
    await removeStrays(system, stateFolder);
    const header = await readVolumeHeader(system, device);
    refuseUnchangeable(header, device);
    const volume: Volume = { device, lock };
    const ledger = openLedger(system, volume, header);
    const record = await readIntentRecord(system, stateFolder, header.uuid);
    const notes = ledger.listNotes(header).map(({ intent }) => intent);
    const left = record === null ? notes : [...notes, record.intent];
    const { uuid } = header;
    const keptBackups = left.length > 0 ? [] : await removeOldBackups(system, volume, stateFolder, uuid);
    const dispose = () => lock[Symbol.asyncDispose]();
    return { volume, uuid, stateFolder, ledger, left, keptBackups, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await lock[Symbol.asyncDispose]();
    throw error;
  }
}

/**
 * Proves the passphrase, and settles what an earlier run left. The volume has to be held for as
 * long as the change lasts.
 * @throws NightlatchError luks/wrong-passphrase, and as readVolumeHeader
 */
export async function beginChange(system: ChangePower, held: HeldVolume, request: ChangeRequest): Promise<Change> {
  const { volume, uuid, stateFolder, ledger } = held;
  const { prove, tell } = request;
  const header = await readVolumeHeader(system, volume.device);
  const bound = listTokens(header).flatMap((token) => token.keyslots);
  const ours = held.left.flatMap(({ adds }) => (adds === null ? [] : [adds.keyslot]));
  const { passphrase, openedBy } = await findWayIn(system, held, header, request, new Set([...bound, ...ours]));
  try {
    const dispose = async () => passphrase.wipe();
    const change = { volume, uuid, stateFolder, ledger, passphrase, openedBy, prove, tell };
    const begun: Change = { ...change, settled: [], keptBackups: [], [Symbol.asyncDispose]: dispose };
    const settled = await settleIntents(system, begun);
    return { ...begun, settled, keptBackups: await removeOldBackups(system, volume, stateFolder, uuid) };
  } catch (error) {
    passphrase.wipe();
    throw error;
  }
}

/**
 * Removes the backups of changes that are over.
 * @returns those that hold what the volume has no longer
 */
async function removeOldBackups(system: ChangePower, { device }: Volume, stateFolder: string, uuid: string) {
  return removeBackups(system, device, await listBackups(system, stateFolder, uuid), new Set());
}

/**
 * Asks for a passphrase until one opens a keyslot.
 * @param last slots that are tried at the end
 */
async function findWayIn(
  system: ChangePower,
  { volume }: HeldVolume,
  header: VolumeHeader,
  request: ChangeRequest,
  last: ReadonlySet<number>,
): Promise<{ readonly passphrase: Secret; readonly openedBy: number }> {
  for (let tries = 0; ; tries++) {
    const passphrase = await request.passphrase(tries);
    if (passphrase === null) throw wrongPassphrase(volume.device);
    try {
      const openedBy = await findSlotOpenedBy(system, volume, header, passphrase, last);
      if (openedBy !== null) return { passphrase, openedBy };
    } catch (error) {
      passphrase.wipe();
      throw error;
    }
    passphrase.wipe();
  }
}

/**
 * Matches what a run leaves that was killed in the middle of System.writeFile. Whoever writes these
 * files holds the lock.
 */
const STRAY = /^(?:identity\.key|(?:pending|server|intent|volume|rotation)-[\w-]+\.json)\.[0-9a-f]{12}\.tmp$/;

async function removeStrays(system: ChangePower, stateFolder: string): Promise<void> {
  const names = await system.listDirectory(stateFolder);
  for (const name of names.filter((name) => STRAY.test(name))) await system.removeFile(`${stateFolder}/${name}`);
}

/**
 * Opens the ledger of a volume, by the version of its header. Where nothing is locked it is for
 * reading only: what `listNotes` tells may be a change under way.
 */
export function openLedger(system: Pick<ChangePower, "run" | "readAt">, volume: Volume, header: VolumeHeader): Ledger {
  return header.version === 2 ? luks2Ledger(system, volume) : luks1Ledger(system, volume);
}

/** @throws NightlatchError luks/requirements, luks/unsupported */
function refuseUnchangeable(header: VolumeHeader, device: string): void {
  // It becomes part of file names.
  if (!/^[0-9A-Za-z][0-9A-Za-z-]{0,39}$/.test(header.uuid)) {
    throw new NightlatchError("luks/unsupported", `${device}: the volume has no usable UUID`, {
      meaning: "Nothing was changed.",
      remedy: "Give it one with cryptsetup luksUUID --uuid.",
    });
  }
  refuseRequirements(header, device);
}

function wrongPassphrase(device: string): NightlatchError {
  return new NightlatchError("luks/wrong-passphrase", `${device}: the passphrase opens no keyslot`, {
    meaning: "Nothing was changed.",
    remedy: "Check keyboard layout and Caps Lock; a key file is taken whole, its last line end included.",
  });
}
