import { NightlatchError } from "../core/errors.ts";
import type { Secret } from "../core/secret.ts";
import { listBackups } from "./backup.ts";
import { listTokens } from "./bindings.ts";
import type { Change, Prove, Tell } from "./change.ts";
import type { Volume } from "./cryptsetup.ts";
import { readVolumeHeader, type VolumeHeader } from "./header.ts";
import { findSlotOpenedBy } from "./keyslots.ts";
import type { ChangePower, Ledger } from "./ledger.ts";
import { luks1Ledger } from "./luks1-ledger.ts";
import { luks2Ledger } from "./luks2-ledger.ts";
import { readRecord } from "./records.ts";
import { refuseRequirements } from "./requirements.ts";
import { removeBackups, settleIntents } from "./settle.ts";

export interface ChangeOrder {
  readonly device: string;
  /** The machine's state folder; made where it is missing. */
  readonly stateFolder: string;
  /** Asked once the volume is known to be one that can be changed. The change owns it and wipes it. */
  readonly passphrase: () => Promise<Secret>;
  readonly prove: Prove;
  readonly tell: Tell;
}

/** As long as a person waits for another run without wondering. */
const LOCK_WAIT_MS = 10_000;

/**
 * All that comes before a header change, and is safe to do without one: lock, refusals, proof of the passphrase, settling of what
 * an earlier run left.
 * @throws NightlatchError system/busy, luks/requirements, luks/wrong-passphrase, and as readVolumeHeader
 */
export async function beginChange(power: ChangePower, order: ChangeOrder): Promise<Change> {
  const { device, stateFolder, prove, tell } = order;
  refuseUnchangeable(await readVolumeHeader(power, device), device);
  await power.makeDirectory(stateFolder, 0o700);
  const lock = await power.lock(`${stateFolder}/lock`, LOCK_WAIT_MS);
  try {
    await removeStrays(power, stateFolder);
    const header = await readVolumeHeader(power, device);
    refuseUnchangeable(header, device);
    const volume: Volume = { device, lock };
    const ledger = openLedger(power, volume, header);
    const record = await readRecord(power, stateFolder, header.uuid);
    const intents = [...ledger.listNotes(header), ...(record === null ? [] : [record])];
    const passphrase = await order.passphrase();
    try {
      const bound = listTokens(header).flatMap((token) => token.keyslots);
      const ours = intents.flatMap(({ intent }) => (intent.adds === null ? [] : [intent.adds.keyslot]));
      const openedBy = await findSlotOpenedBy(power, volume, header, passphrase, new Set([...bound, ...ours]));
      if (openedBy === null) throw wrongPassphrase(device);
      const change = { volume, uuid: header.uuid, stateFolder, ledger, passphrase, openedBy, prove, tell };
      const dispose = async () => {
        passphrase.wipe();
        await lock[Symbol.asyncDispose]();
      };
      const begun: Change = { ...change, settled: [], keptBackups: [], [Symbol.asyncDispose]: dispose };
      const settled = await settleIntents(power, begun);
      const backups = await listBackups(power, stateFolder, header.uuid);
      const keptBackups = await removeBackups(power, device, backups, new Set());
      return { ...begun, settled, keptBackups };
    } catch (error) {
      passphrase.wipe();
      throw error;
    }
  } catch (error) {
    await lock[Symbol.asyncDispose]();
    throw error;
  }
}

/** Of a run that was killed in the middle of System.writeFile; whoever writes these files holds the lock. */
const STRAY = /^(?:identity\.key|(?:pending|server|intent|volume)-[\w-]+\.json)\.[0-9a-f]{12}\.tmp$/;

async function removeStrays(power: ChangePower, stateFolder: string): Promise<void> {
  const names = await power.listDirectory(stateFolder);
  for (const name of names.filter((name) => STRAY.test(name))) await power.removeFile(`${stateFolder}/${name}`);
}

/** Where nothing is locked it is for reading only: what `listNotes` tells may be a change under way. */
export function openLedger(power: Pick<ChangePower, "run">, volume: Volume, header: VolumeHeader): Ledger {
  return header.version === 2 ? luks2Ledger(power, volume) : luks1Ledger(power, volume);
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
