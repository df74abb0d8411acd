// @ts-nocheck
import { isError, NightlatchError } from "../../core/errors.ts";
import type { Intent, IntentRecord } from "../../formats/own/intent.ts";
import type { VolumeHeader } from "../header/header.ts";
import { changedTokens, harmed } from "../header/others.ts";
import { listSlots } from "../header/slots.ts";
import { backUpHeader, nextBackupPath } from "./backup.ts";
import { type Change, readHeader } from "./change.ts";
import type { ChangePower, HeldIntent } from "./ledger.ts";
import { removeIntentRecord, writeIntentRecord } from "./records.ts";
import { close } from "./settle.ts";

/** An intent on record, and the header's backup beside it. */
interface Declaration {
  /** As it was before the change. */
  readonly before: VolumeHeader;
  readonly held: HeldIntent;
  readonly backup: string;
}

/**
 * Declares a change: the backup first, then the record, then the note in the header. What comes
 * after it may be cut short anywhere.
 * @throws NightlatchError as backUpHeader, file/*; nothing was changed then
 */
export async function declare(
  system: ChangePower,
  change: Change,
  header: VolumeHeader,
  plan: Omit<Intent, "id">,
): Promise<Declaration> {
  const { device } = change.volume;
  const intent = { id: system.random(16).toString("base64url"), ...plan };
  const record: IntentRecord = { intent, device, salts: listSlots(header).map((slot) => slot.salt) };
  const backup = await nextBackupPath(system, change.stateFolder, change.uuid);
  await backUpHeader(system, change.volume, backup);
  try {
    await writeIntentRecord(system, change.stateFolder, change.uuid, record);
    return { before: header, held: { record, note: await change.ledger.addNote(header, intent) }, backup };
  } catch (error) {
    await removeIntentRecord(system, change.stateFolder, change.uuid);
    await system.removeFile(backup);
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

/**
 * Ends a change, once what had no part in it was seen to be what it was.
 * @throws NightlatchError luks/harmed
 */
export async function closeOrWarn(system: ChangePower, change: Change, declared: Declaration): Promise<void> {
  const { held, backup } = declared;
  const harm = await requireOthers(system, change, declared).catch((error: unknown) => {
    if (isError(error, "luks/harmed")) return error;
    throw error;
  });
  const kept = await close(system, change, held, harm === undefined ? [backup] : []);
  if (harm !== undefined) throw harm;
  if (kept.length > 0) throw harmed(change.volume.device, "a keyslot", backup);
}

/**
 * Reads back what the change is not about.
 * @throws NightlatchError luks/harmed
 */
export async function requireOthers(
  system: Pick<ChangePower, "readAt">,
  change: Pick<Change, "volume">,
  { before, held, backup }: Declaration,
): Promise<void> {
  const [token] = changedTokens(before, await readHeader(system, change), held.record.intent.removes);
  if (token === undefined) return;
  throw harmed(change.volume.device, `token ${token}`, before.version === 1 ? null : backup);
}
