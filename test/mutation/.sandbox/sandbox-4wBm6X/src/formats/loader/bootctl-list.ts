// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";
import { isJsonObject, type JsonObject, parseJson } from "../json/json.ts";

const LIMIT_BYTES = 1 << 20;

/**
 * Reads the entries of `bootctl list --json=short`. It is a list since systemd 253. Up to 252
 * (Debian 12) it is one object a line, and they tell neither their type nor which is the default.
 * @throws NightlatchError json/malformed, json/too-large, json/duplicate-key
 */
export function parseBootctlList(output: Uint8Array): JsonObject[] {
  if (output.byteLength > LIMIT_BYTES) {
    throw new NightlatchError("json/too-large", `bootctl's list is larger than ${LIMIT_BYTES} bytes`);
  }
  const text = Buffer.from(output).toString("utf8").trim();
  const parse = (json: string) => parseJson(json, "bootctl's list", { lengthBytes: LIMIT_BYTES });
  const rows = text.startsWith("{") ? text.split("\n").map(parse) : parse(text);
  if (!Array.isArray(rows)) throw new NightlatchError("json/malformed", "bootctl's list is no list");
  return rows.filter(isJsonObject);
}

/** Whether no entry says of itself if it is the default: then only the list for people tells. */
export const tellsNoDefault = (rows: readonly JsonObject[]): boolean => !rows.some((row) => "isDefault" in row);

/**
 * Reads the id of the default in `bootctl list` as it is for people (boot_entry_show in systemd's
 * bootspec.c). The marks stand at the end of the title, and the id is a line of its own below. Null
 * where no entry has the mark, or more than one.
 */
export function defaultInBootctlText(text: string): string | null {
  const found = [...text.matchAll(/^ *title: .* \(default\)(?: \([a-z/ ]+\))*\n *id: (.+)$/gm)];
  return found.length === 1 ? (found[0]?.[1] ?? null) : null;
}

/**
 * Reads an entry's type: `type1` for an entry file, `type2` for a unified kernel image, "" for what
 * boots no Linux (the firmware's setup, another loader).
 */
export function typeOfBootctlRow(row: JsonObject): string {
  const { type, path } = row;
  if (typeof type === "string") return type;
  if (typeof path !== "string" || path === "") return "";
  return path.endsWith(".conf") ? "type1" : /\/EFI\/Linux\/[^/]+\.efi$/i.test(path) ? "type2" : "";
}
