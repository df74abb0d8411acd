// @ts-nocheck
import { isError, NightlatchError } from "../../core/errors.ts";
import type { JsonObject } from "../../formats/json/json.ts";
import { type Intent, type IntentRecord, parseIntent } from "../../formats/own/intent.ts";
import type { System } from "../../system/port.ts";
import type { HeldToken } from "../header/bindings.ts";
import type { VolumeHeader } from "../header/header.ts";

/** What it takes to change a header. */
export type ChangePower = Pick<
  System,
  | "run"
  | "readAt"
  | "readFile"
  | "writeFile"
  | "removeFile"
  | "makeDirectory"
  | "listDirectory"
  | "stat"
  | "lock"
  | "random"
>;

/**
 * An intent that the header tells of. By itself it gives no authority over anything: whoever holds
 * the disk can write one.
 */
export interface IntentNote {
  /** The token's number. */
  readonly token: number;
  readonly intent: Intent;
  /** As `tokenDigest` gives it. */
  readonly digest: string;
}

/** An intent of this machine's, on record in the state folder. */
export interface HeldIntent {
  readonly record: IntentRecord;
  /** Its token's number; null with LUKS1, which has none. */
  readonly note: number | null;
}

/**
 * Where a volume keeps tokens and notes of intents: LUKS2 in its header, LUKS1 in luksmeta, without
 * notes. Each call is durable when it returns, and all or nothing.
 */
export interface Ledger {
  /**
   * Makes sure that a binding can be added.
   * @param tokenBytes null where it is not known yet
   * @throws NightlatchError luks/no-token-slot, luks/unsupported
   */
  requireRoom(header: VolumeHeader, tokenBytes: number | null): void;
  addToken(header: VolumeHeader, token: JsonObject, keyslot: number): Promise<void>;
  removeToken(token: HeldToken): Promise<void>;
  /** @throws NightlatchError luks/unknown-intent */
  listNotes(header: VolumeHeader): readonly IntentNote[];
  /** @returns the token's number, null where this kind of volume has none */
  addNote(header: VolumeHeader, intent: Intent): Promise<number | null>;
  removeNote(token: number): Promise<void>;
}

/**
 * Finds the intents among tokens, as LUKS2 keeps them.
 * @throws NightlatchError luks/unknown-intent
 */
export function notesAmong(tokens: readonly HeldToken[], device: string): readonly IntentNote[] {
  return tokens.flatMap(({ id, json, digest }) => {
    try {
      const intent = parseIntent(json);
      return intent === null ? [] : [{ token: id, intent, digest }];
    } catch (error) {
      throw isError(error, "luks/unknown-intent") ? unreadable(device, id) : error;
    }
  });
}

/**
 * Makes the error for a note that cannot be read. Any change waits for it, since what it was about
 * cannot be told, so a person has to be able to get rid of it.
 */
function unreadable(device: string, token: number): NightlatchError {
  return new NightlatchError(
    "luks/unknown-intent",
    `${device}: token ${token} is a note of Nightlatch's that this version cannot read`,
    {
      meaning:
        "A change of the header was cut short, by a newer version perhaps, or somebody edited it. Nothing was changed; the volume opens as before.",
      remedy:
        "Run the command again with the version that made it. Or look at the note and remove it: " +
        `cryptsetup token export --token-id ${token} ${device}; cryptsetup token remove --token-id ${token} ${device}. ` +
        "What that change had added or meant to remove then stays: a keyslot that no token names, or a binding; see cryptsetup luksDump.",
    },
  );
}
