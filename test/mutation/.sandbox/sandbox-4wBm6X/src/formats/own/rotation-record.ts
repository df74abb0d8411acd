// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";
import { isJsonObject, type Json, type JsonObject, parseJson } from "../json/json.ts";
import { hasExactly, isBase64urlOf, isList, isText } from "../json/narrow.ts";

/** What a machine keeps of bindings that stand beside their successors: docs/format/rotation.md. */
export interface RotationRecord {
  /** The id of the boot in which the last of them was made. */
  readonly boot: string;
  readonly pairs: readonly RotationPair[];
}

/** A binding that was rotated, and the one that takes its place; each as `tokenDigest` names it. */
export interface RotationPair {
  readonly former: string;
  readonly next: string;
}

/** A record has at most this. */
export const ROTATION_RECORD_BYTES = 16_384;

/** LUKS2 has 32 keyslots. */
const PAIR_COUNT = 32;

/** Writes a record. */
export function formatRotationRecord({ boot, pairs }: RotationRecord): Buffer {
  const list = pairs.map(({ former, next }): JsonObject => ({ former, next }));
  return Buffer.from(`${JSON.stringify({ boot, pairs: list })}\n`);
}

/**
 * Reads a record.
 * @throws NightlatchError machine/bad-state
 */
export function parseRotationRecord(bytes: Uint8Array): RotationRecord {
  try {
    const json = parseJson(bytes, "the record", { lengthBytes: ROTATION_RECORD_BYTES, depth: 3 });
    if (isJsonObject(json) && hasExactly(json, ["boot", "pairs"])) {
      const { boot, pairs } = json;
      if (isText(boot, 64) && isList(pairs, PAIR_COUNT) && pairs.every(isPair)) return { boot, pairs };
    }
  } catch {
    // said below
  }
  throw new NightlatchError("machine/bad-state", "is no record of a rotation");
}

function isPair(json: Json): json is JsonObject & RotationPair {
  if (!isJsonObject(json) || !hasExactly(json, ["former", "next"])) return false;
  return isBase64urlOf(json["former"], 32) && isBase64urlOf(json["next"], 32);
}
