// @ts-nocheck
import { isError, NightlatchError } from "../../core/errors.ts";
import { parseJson } from "../../formats/json/json.ts";
import {
  formatIntent,
  formatIntentRecord,
  type Intent,
  type IntentRecord,
  parseIntentRecord,
  tokenDigest,
} from "../../formats/own/intent.ts";
import type { VolumeHeader } from "../header/header.ts";
import { findSlot } from "../header/slots.ts";
import type { ChangePower, IntentNote } from "./ledger.ts";

const RECORD_BYTES = 64 * 1024;

function recordPath(stateFolder: string, uuid: string): string {
  return `${stateFolder}/intent-${uuid}.json`;
}

/**
 * Reads the volume's record; null where there is none.
 * @throws NightlatchError luks/unknown-intent, json/*, file/*
 */
export async function readIntentRecord(
  system: Pick<ChangePower, "readFile">,
  stateFolder: string,
  uuid: string,
): Promise<IntentRecord | null> {
  const path = recordPath(stateFolder, uuid);
  try {
    return parseIntentRecord(parseJson(await system.readFile(path, RECORD_BYTES), path, { lengthBytes: RECORD_BYTES }));
  } catch (error) {
    if (isError(error, "file/missing")) return null;
    throw isError(error, "luks/unknown-intent") ? unreadable(path) : error;
  }
}

function unreadable(path: string): NightlatchError {
  return new NightlatchError("luks/unknown-intent", `${path} is a record that this version cannot read`, {
    meaning:
      "A change of a volume's header was cut short, by a newer version perhaps. Nothing was changed; the volume opens as before.",
    remedy:
      `Run the command again with the version that made it. Or move ${path} away: the next run then tells of what the change may have ` +
      "left in the header, and touches none of it.",
  });
}

/**
 * Writes the volume's record. It is durable when it returns, and all or nothing.
 * @throws NightlatchError file/*
 */
export async function writeIntentRecord(
  system: Pick<ChangePower, "writeFile">,
  stateFolder: string,
  uuid: string,
  record: IntentRecord,
): Promise<void> {
  const bytes = Buffer.from(`${JSON.stringify(formatIntentRecord(record))}\n`);
  await system.writeFile(recordPath(stateFolder, uuid), bytes, 0o600);
}

/**
 * Removes the volume's record; one that is gone already is fine.
 * @throws NightlatchError file/*
 */
export async function removeIntentRecord(
  system: Pick<ChangePower, "removeFile">,
  stateFolder: string,
  uuid: string,
): Promise<void> {
  await system.removeFile(recordPath(stateFolder, uuid));
}

/**
 * Finds the note in the header that says what the record says, to the last member; null where there
 * is none.
 */
export function noteOf(notes: readonly IntentNote[], intent: Intent): IntentNote | null {
  const digest = tokenDigest(formatIntent(intent));
  return notes.find((note) => note.digest === digest) ?? null;
}

/**
 * Tells whether a record speaks of the volume at hand. Anybody can write a salt into a header, but
 * a keyslot that the owner's passphrase opens has its own.
 */
export function isRecordOf(record: IntentRecord, header: VolumeHeader, openedBy: number): boolean {
  const slot = findSlot(header, openedBy);
  return slot !== undefined && record.salts.includes(slot.salt);
}
