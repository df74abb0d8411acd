// @ts-nocheck
import { isError, NightlatchError } from "../../../core/errors.ts";
import { type JsonObject, parseJson } from "../../../formats/json/json.ts";
import type { InPlaceFile } from "../../../system/port.ts";
import { CHUNK_BYTES, COPIES, HEAD_BYTES } from "./cell-layout.ts";

const FORMAT = "nightlatch-cells";
const VERSION = 1;

function headOf(store: string): Buffer {
  const head = Buffer.alloc(HEAD_BYTES);
  head.write(`${JSON.stringify({ format: FORMAT, version: VERSION, store })}\n`);
  return head;
}

/** Writes the head of a store's cells into one copy, durably. @throws NightlatchError file/* */
export function writeHead(file: InPlaceFile, copy: number, store: string): void {
  file.write(copy, headOf(store));
  file.sync();
}

/** Whether one copy has the head of this store's cells. */
export function isHead(file: InPlaceFile, copy: number, store: string): boolean {
  try {
    return file.read(copy, HEAD_BYTES).equals(headOf(store));
  } catch (error) {
    if (isError(error, "file/io")) return false;
    throw error;
  }
}

/**
 * Whose cells these are. Null where neither copy of the first chunk has a head.
 * @throws NightlatchError store/cells where they are of a later format
 */
export function readHead(file: InPlaceFile): string | null {
  if (file.sizeBytes < CHUNK_BYTES) return null;
  for (const copy of COPIES) {
    try {
      const bytes = file.read(copy, HEAD_BYTES);
      const end = bytes.indexOf(0);
      if (end <= 0) continue;
      const { format, version, store } = parseJson(bytes.subarray(0, end), "the head of the cells", {
        lengthBytes: HEAD_BYTES,
        depth: 1,
      }) as JsonObject;
      if (format !== FORMAT || typeof store !== "string" || typeof version !== "number") continue;
      if (version > VERSION) throw notTheStores(`the cells have format ${version}, this version knows ${VERSION}`);
      return store;
    } catch (error) {
      if (!isError(error) || isError(error, "store/cells")) throw error;
    }
  }
  return null;
}

/** The error where a file of cells is not the store's. */
export function notTheStores(what: string): NightlatchError {
  return new NightlatchError("store/cells", what, {
    meaning: "Without its cells no key in the store can be used. Nothing was started, nothing was changed.",
    remedy: "Restore the store, its master key and its cells from the same backup.",
  });
}
