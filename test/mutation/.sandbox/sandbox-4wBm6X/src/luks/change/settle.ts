// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";
import type { Intent, IntentRecord } from "../../formats/own/intent.ts";
import { type HeldToken, isTokenOf, listTokens } from "../header/bindings.ts";
import type { VolumeHeader } from "../header/header.ts";
import { findSlot, listSlots, looksLikeBinding, type Slot } from "../header/slots.ts";
import { compareWithBackup, listBackups } from "./backup.ts";
import { type Change, proveToken, readHeader, type Settled } from "./change.ts";
import type { ChangePower, HeldIntent } from "./ledger.ts";
import { isRecordOf, noteOf, readIntentRecord, removeIntentRecord } from "./records.ts";
import { carryOut, isGone, isWhole, killProvedSlot, otherTokensOf, remainsOf } from "./removal.ts";

/** What of an addition is there. */
interface Added {
  /** The slot bears our fingerprint, and no token of somebody else's refers to it. */
  readonly hasSlot: boolean;
  readonly token: HeldToken | null;
}

/** Finds what of an intent's addition is there; null where the intent adds nothing. */
export function findAdded(header: VolumeHeader, { intent, salts }: IntentRecord): Added | null {
  const { adds } = intent;
  if (adds === null) return null;
  const slot = findSlot(header, adds.keyslot);
  const isNew = slot?.pbkdf2Iterations === adds.iterations && !salts.includes(slot.salt);
  const tokens = listTokens(header).filter((token) => isTokenOf(token, adds));
  return {
    hasSlot: isNew && otherTokensOf(header, adds.keyslot, adds.digest).length === 0,
    token: tokens.find((token) => token.keyslots.length > 0) ?? tokens[0] ?? null,
  };
}

/**
 * Settles what earlier runs left: docs/format/intent.md, "Settling what was left".
 * @throws NightlatchError luks/*, system/*, file/*
 */
export async function settleIntents(system: ChangePower, change: Change): Promise<readonly Settled[]> {
  const { ledger, stateFolder, uuid, openedBy } = change;
  const settled: Settled[] = [];
  const tell = (one: Settled) => {
    change.tell(one);
    settled.push(one);
  };
  const record = await readIntentRecord(system, stateFolder, uuid);
  if (record !== null) {
    const header = await readHeader(system, change);
    const note = noteOf(ledger.listNotes(header), record.intent)?.token ?? null;
    if (isAgreed(change, header, record, note)) tell(await settleIntent(system, change, { record, note }));
    else {
      if (note === null) lookAtEnds(header, record, openedBy).forEach(tell);
      await removeIntentRecord(system, stateFolder, uuid);
    }
  }
  const header = await readHeader(system, change);
  for (const { intent, token } of ledger.listNotes(header)) {
    tell(disown(header, intent, openedBy));
    await ledger.removeNote(token);
  }
  return settled;
}

/**
 * Tells whether the state folder and the volume say the same: nothing else is acted upon. A LUKS1
 * volume says nothing, so the path has to be the same.
 */
function isAgreed(change: Change, header: VolumeHeader, record: IntentRecord, note: number | null): boolean {
  if (!isRecordOf(record, header, change.openedBy)) return false;
  return header.version === 1 ? record.device === change.volume.device : note !== null;
}

/**
 * Looks at a record without its note. That is of a change which had not begun, or was over; unless
 * somebody took the note away.
 */
function lookAtEnds(header: VolumeHeader, record: IntentRecord, openedBy: number): readonly Settled[] {
  const { intent } = record;
  const added = findAdded(header, record);
  const isAdded = added === null || isComplete(intent, added);
  if (isAdded && intent.removes.every((removal) => isGone(header, removal))) {
    return [{ intent, outcome: "completed", orphans: [], added: added?.token ?? null }];
  }
  const disowned = disown(header, intent, openedBy);
  return disowned.orphans.length === 0 ? [] : [disowned];
}

function disown(header: VolumeHeader, intent: Intent, openedBy: number): Settled {
  const held = new Set([openedBy, ...listTokens(header).flatMap((token) => token.keyslots)]);
  const orphans = listSlots(header)
    .filter((slot) => !held.has(slot.number) && looksLikeBinding(slot) && isNamed(intent, slot))
    .map((slot) => slot.number);
  return { intent, outcome: "disowned", orphans, added: null };
}

function isNamed({ adds, removes }: Intent, { number, pbkdf2Iterations, salt }: Slot): boolean {
  const isAdded = adds !== null && adds.keyslot === number && adds.iterations === pbkdf2Iterations;
  return isAdded || removes.some((removal) => removal.keyslot === number && removal.salt === salt);
}

/** Carries an intent out, or undoes it where what it added does not prove to work. */
async function settleIntent(system: ChangePower, change: Change, held: HeldIntent): Promise<Settled> {
  const { intent } = held.record;
  const header = await readHeader(system, change);
  const added = findAdded(header, held.record);
  const works = added === null || (await isDone(system, change, header, intent, added));
  if (!works) {
    await undo(system, change, held);
    return { intent, outcome: "undone", orphans: [], added: null };
  }
  for (const removal of intent.removes) await carryOut(system, change, removal);
  await close(system, change, held, await listBackups(system, change.stateFolder, change.uuid));
  return { intent, outcome: "completed", orphans: [], added: added?.token ?? null };
}

function isComplete({ adds }: Intent, { hasSlot, token }: Added): boolean {
  return adds !== null && hasSlot && token?.keyslots.includes(adds.keyslot) === true;
}

async function isDone(system: ChangePower, change: Change, header: VolumeHeader, intent: Intent, added: Added) {
  const { adds, removes } = intent;
  if (adds === null || added.token === null || !isComplete(intent, added)) return false;
  // Removals begin after the proof only.
  if (removes.some((removal) => !isWhole(header, removal))) return true;
  // Its owner had the key before the slot was made, and nobody else has it.
  if (intent.operation === "recovery-add") return true;
  try {
    await proveToken(system, change, added.token, adds.keyslot);
    return true;
  } catch (error) {
    if (error instanceof NightlatchError) return false;
    throw error;
  }
}

/**
 * Removes what an intent added, and the intent. The token goes first: stock clevis never sees one
 * that opens nothing.
 */
export async function undo(
  system: ChangePower,
  change: Change,
  held: HeldIntent,
  keepsBackup: boolean = false,
): Promise<void> {
  const { adds } = held.record.intent;
  if (adds !== null) {
    const tokens = remainsOf(await readHeader(system, change), adds.digest, adds.keyslot);
    for (const token of tokens) await change.ledger.removeToken(token);
    const isThere = findAdded(await readHeader(system, change), held.record)?.hasSlot === true;
    if (isThere) await killProvedSlot(system, change, adds.keyslot);
  }
  await close(system, change, held, keepsBackup ? [] : await listBackups(system, change.stateFolder, change.uuid));
}

/**
 * Ends a change: backups whose every slot is on the disk unharmed are removed, then the note, then
 * the record.
 * @returns backups that are kept, since they hold slots that the volume has no longer
 */
export async function close(
  system: ChangePower,
  change: Pick<Change, "volume" | "ledger" | "stateFolder" | "uuid">,
  held: HeldIntent,
  backups: readonly string[],
): Promise<readonly string[]> {
  const { adds, removes } = held.record.intent;
  const except = new Set(
    [adds?.keyslot ?? null, ...removes.map(({ keyslot }) => keyslot)].filter((slot) => slot !== null),
  );
  const kept = await removeBackups(system, change.volume.device, backups, except);
  if (held.note !== null) await change.ledger.removeNote(held.note);
  await removeIntentRecord(system, change.stateFolder, change.uuid);
  return kept;
}

/**
 * Removes backups, but for those that hold another slot than `except` otherwise than the device.
 * @returns the backups that are kept
 */
export async function removeBackups(
  system: ChangePower,
  device: string,
  backups: readonly string[],
  except: ReadonlySet<number>,
): Promise<readonly string[]> {
  const kept: string[] = [];
  for (const path of backups) {
    const changed = await compareWithBackup(system, device, path, except);
    if (changed === null || changed.length === 0) await system.removeFile(path);
    else kept.push(path);
  }
  return kept;
}
