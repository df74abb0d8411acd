// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";
import { parseJson } from "../json/json.ts";
import { hasExactly, isBase64urlOf, isInteger, isList, isText, isTextLike } from "../json/narrow.ts";

/** What was written for an initramfs, and what was there before: docs/format/initramfs-setup.md. */
export interface SetupRecord {
  /** UUIDs of the volumes that need it. */
  readonly volumes: readonly string[];
  readonly files: readonly WrittenFile[];
}

/** A file of ours in a folder of the initramfs's generator. */
export interface WrittenFile {
  readonly path: string;
  /** SHA-256 of what was written, base64url. */
  readonly written: string;
  /** What stood there; null where nothing did. */
  readonly before: { readonly mode: number; readonly content: Buffer } | null;
}

/** No record is longer. */
export const SETUP_RECORD_BYTES = 1 << 20;
/** What stood in the place of a file of ours may be as long as this. */
export const BEFORE_BYTES = 16 * 1024;

const VOLUMES = 64;
const FILES = 32;
/** Nothing else is ever written or removed by a record. */
const PATH = /^\/etc\/(?:initramfs-tools\/(?:hooks|conf\.d)|dracut\.conf\.d)\/nightlatch-[a-z-]{1,40}(?:\.conf)?$/;

/** Writes the record down. */
export function formatSetupRecord({ volumes, files }: SetupRecord): Buffer {
  const plain = files.map(({ path, written, before }) => ({
    path,
    written,
    before: before === null ? null : { mode: before.mode, content: before.content.toString("base64url") },
  }));
  return Buffer.from(`${JSON.stringify({ version: 1, volumes, files: plain })}\n`);
}

/**
 * Reads a record.
 * @throws NightlatchError machine/bad-state, json/*
 */
export function parseSetupRecord(bytes: Uint8Array): SetupRecord {
  const json = parseJson(bytes, "the record of the initramfs", { lengthBytes: SETUP_RECORD_BYTES });
  if (!hasExactly(json, ["version", "volumes", "files"]) || json["version"] !== 1) throw malformed();
  const { volumes, files } = json;
  if (!isList(volumes, VOLUMES) || !isList(files, FILES)) throw malformed();
  return {
    volumes: volumes.map((uuid) => {
      if (!isText(uuid, 40)) throw malformed();
      return uuid;
    }),
    files: files.map((file) => {
      if (!hasExactly(file, ["path", "written", "before"])) throw malformed();
      const { path, written, before } = file;
      if (!isTextLike(path, PATH) || !isBase64urlOf(written, 32)) throw malformed();
      return { path, written, before: readBefore(before) };
    }),
  };
}

function readBefore(json: Parameters<typeof hasExactly>[0]): WrittenFile["before"] {
  if (json === null) return null;
  if (!hasExactly(json, ["mode", "content"])) throw malformed();
  const { mode, content } = json;
  if (!isInteger(mode, 0, 0o7777) || typeof content !== "string" || !/^[\w-]*$/.test(content)) throw malformed();
  const bytes = Buffer.from(content, "base64url");
  if (bytes.length > BEFORE_BYTES) throw malformed();
  return { mode, content: bytes };
}

function malformed(): NightlatchError {
  return new NightlatchError("machine/bad-state", "the record of what was set up in the initramfs is not one", {
    meaning: "What was written for the initramfs cannot be told. Nothing was changed.",
    remedy: "Restore the file from a backup, or remove it: the files named nightlatch-… then stay.",
  });
}
