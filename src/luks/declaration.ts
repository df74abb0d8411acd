import { NightlatchError } from "../core/errors.ts";
import type { Intent, IntentRecord } from "../formats/intent.ts";
import { backUpHeader, nextBackupPath } from "./backup.ts";
import type { Change } from "./change.ts";
import type { VolumeHeader } from "./header.ts";
import type { ChangePower, HeldIntent } from "./ledger.ts";
import { removeRecord, writeRecord } from "./records.ts";
import { close } from "./settle.ts";
import { listSlots } from "./slots.ts";

/** An intent on record, and the header's backup beside it. */
export interface Declaration {
  readonly held: HeldIntent;
  readonly backup: string;
}

/** Backup first, then the record, then the note in the header: what comes after it may be cut short anywhere. */
export async function declare(
  power: ChangePower,
  change: Change,
  header: VolumeHeader,
  plan: Omit<Intent, "id">,
): Promise<Declaration> {
  const { device } = change.volume;
  const intent = { id: power.random(16).toString("base64url"), ...plan };
  const record: IntentRecord = { intent, device, salts: listSlots(header).map((slot) => slot.salt) };
  const backup = await nextBackupPath(power, change.stateFolder, change.uuid);
  await backUpHeader(power, change.volume, backup);
  try {
    await writeRecord(power, change.stateFolder, change.uuid, record);
    return { held: { record, note: await change.ledger.addNote(header, intent) }, backup };
  } catch (error) {
    await removeRecord(power, change.stateFolder, change.uuid);
    await power.removeFile(backup);
    if (!(error instanceof NightlatchError)) throw error;
    const { code, message, remedy } = error;
    const guidance = {
      meaning: "Nothing was changed.",
      ...(remedy === undefined ? {} : { remedy }),
      cause: error.cause,
    };
    throw new NightlatchError(code, message, guidance);
  }
}

/** @throws NightlatchError luks/harmed */
export async function closeOrWarn(power: ChangePower, change: Change, { held, backup }: Declaration): Promise<void> {
  const kept = await close(power, change, held, [backup]);
  if (kept.length === 0) return;
  const { device } = change.volume;
  throw new NightlatchError("luks/harmed", `${device}: a keyslot that had no part in the change is not what it was`, {
    meaning: `Another program changed it meanwhile, or something is broken. The header as it was is kept in ${backup}.`,
    remedy: `If a passphrase does not open the volume any more: cryptsetup luksHeaderRestore ${device} --header-backup-file ${backup}`,
  });
}
