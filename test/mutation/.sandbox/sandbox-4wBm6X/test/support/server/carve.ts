/**
 * What a thief does who has a server's disk: finds old wrapped bytes, and tries whatever keys there
 * are.
 */
// @ts-nocheck

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Secret } from "../../../src/core/secret.ts";
import { MasterKey, unseal, type WrapContext } from "../../../src/server/store/keys/wrap.ts";

const CELL = 32;
const COPY = 64 << 10;

/** Read by the page docs/format/store.md, not by the code that it tests. */
export function readCells(folder: string): (cell: number, copy?: 0 | 1) => Buffer {
  const bytes = readFileSync(join(folder, "cells"));
  return (cell, copy = 0) => {
    const at = Math.floor(cell / 2048) * 2 * COPY + copy * COPY + (cell % 2048) * CELL;
    return bytes.subarray(at, at + CELL);
  };
}

/** Wrapped bytes that were found, and what they are. */
export interface Found {
  readonly context: WrapContext;
  readonly bytes: Buffer;
}

/** Cells are used in order, from this on; no test uses more than these. */
const FIRST = 128;
const TRIED = 64;

/** Whether wrapped bytes, wherever they were found, open with anything in the folder. */
export function opensWithFolder(folder: string, { context, bytes }: Found): boolean {
  const names = readdirSync(folder);
  const cellOf = names.includes("cells") ? readCells(folder) : null;
  for (const name of names.filter((name) => name.startsWith("master.key"))) {
    const file = readFileSync(join(folder, name));
    if (file.length !== CELL) continue;
    using master = new MasterKey(Secret.copy(file));
    if (opens(() => master.unwrapOld(bytes, context)) || opens(() => master.unwrap(bytes, context))) return true;
    for (let cell = FIRST; cellOf !== null && cell < FIRST + TRIED; cell++) {
      for (const copy of [0, 1] as const) {
        if (opens(() => unseal(master.with(cellOf(cell, copy)), bytes, context))) return true;
      }
    }
  }
  return false;
}

function opens(open: () => Secret): boolean {
  try {
    open().wipe();
    return true;
  } catch {
    return false;
  }
}
