import { NightlatchError } from "../core/errors.ts";
import type { Intent } from "../formats/intent.ts";
import { backUpHeader, nextBackupPath } from "./backup.ts";
import type { Change } from "./change.ts";
import type { VolumeHeader } from "./header.ts";
import type { ChangePower, HeldIntent } from "./ledger.ts";
import { close } from "./settle.ts";

/** An intent on record, and the header's backup beside it. */
export interface Declaration {
  readonly held: HeldIntent;
  readonly backup: string;
}

/** Backup first, then the intent: what comes after it may be cut short anywhere. */
export async function declare(
  power: ChangePower,
  change: Change,
  header: VolumeHeader,
  intent: Intent,
): Promise<Declaration> {
  const backup = await nextBackupPath(power, change.stateFolder, change.uuid);
  await backUpHeader(power, change.volume, backup);
  try {
    return { held: await change.ledger.addIntent(header, intent), backup };
  } catch (error) {
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
