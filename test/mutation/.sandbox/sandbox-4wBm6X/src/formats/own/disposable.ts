// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";
import { isJsonObject, type Json, type JsonObject } from "../json/json.ts";
import { isInteger, isTextLike } from "../json/narrow.ts";

/** The type of the record's token: docs/format/disposable.md. */
export const DISPOSABLE_TYPE = "nightlatch-disposable";

/** A keyslot of a staged reboot, and how to know that it is still that one. */
export interface DisposableRecord {
  readonly slot: number;
  readonly iterations: number;
  readonly boot: string;
  /** Seconds since the epoch. */
  readonly expires: number;
  readonly guard: { readonly slot: number; readonly digest: string };
}

/** Writes the record as a LUKS2 token. */
export function formatDisposable(record: DisposableRecord): JsonObject {
  const { slot, iterations, boot, expires, guard } = record;
  return { type: DISPOSABLE_TYPE, keyslots: [], version: 1, slot, iterations, boot, expires, guard: { ...guard } };
}

/**
 * Reads a record; null for what is no such record.
 * @throws NightlatchError disposable/malformed for one that cannot be understood; nothing of it may
 *   be acted on then
 */
export function parseDisposable(json: JsonObject): DisposableRecord | null {
  if (json["type"] !== DISPOSABLE_TYPE) return null;
  if (json["version"] !== 1) throw malformed("is of a version that is not known");
  const guard = json["guard"];
  if (!isJsonObject(guard)) throw malformed("has no guard");
  const record = {
    slot: asNumber(json["slot"], 31, "slot"),
    iterations: asNumber(json["iterations"], 2 ** 31, "iterations"),
    boot: asText(json["boot"], /^[0-9a-f-]{36}$/, "boot"),
    expires: asNumber(json["expires"], Number.MAX_SAFE_INTEGER, "expires"),
    guard: {
      slot: asNumber(guard["slot"], 31, "guard.slot"),
      digest: asText(guard["digest"], /^[0-9a-f]{64}$/, "guard.digest"),
    },
  };
  if (record.guard.slot === record.slot) throw malformed("guards itself");
  return record;
}

function asNumber(json: Json | undefined, most: number, name: string): number {
  if (isInteger(json, 0, most)) return json;
  throw malformed(`has a wrong ${name}`);
}

function asText(json: Json | undefined, pattern: RegExp, name: string): string {
  if (isTextLike(json, pattern)) return json;
  throw malformed(`has a wrong ${name}`);
}

function malformed(how: string): NightlatchError {
  return new NightlatchError("disposable/malformed", `the record of a disposable key ${how}`, {
    meaning: "It is left as it is.",
    remedy: "See it with: cryptsetup luksDump DEV; remove it with: cryptsetup token remove --token-id N DEV",
  });
}
