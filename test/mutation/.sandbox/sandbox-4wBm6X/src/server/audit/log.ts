// @ts-nocheck
import type { KeyObject } from "node:crypto";
import { append, type CompactRange, hashLeaf, rootOf } from "../../formats/log/merkle.ts";
import { originOf, type SignedCheckpoint, signCheckpoint } from "../../formats/log/note.ts";
import { type Entry, encodeEntry } from "./entry.ts";
import { appendTimes, type Tree } from "./times.ts";

/** Who signs the log: the server's identity, under the store's name. */
export interface LogSigner {
  readonly storeId: string;
  readonly key: KeyObject;
}

/** What the log needs of the store that keeps it, inside one transaction. */
export interface LogStore {
  /** Where the log stands. */
  tree(): Promise<Tree>;
  /** Puts leaves of the tree there, from number `first` on. */
  insertEntries(first: number, bodies: readonly Buffer[]): Promise<void>;
  /** Notes where the log stands from now on. */
  setTree(tree: Tree): Promise<void>;
  /** Puts the signed checkpoint of that size there. */
  insertCheckpoint(checkpoint: SignedCheckpoint): Promise<void>;
}

/**
 * Appends entries to the audit log, and signs where it stands now. All of it becomes true with the
 * transaction.
 * @throws NightlatchError store/*
 */
export async function appendEntries(log: LogStore, entries: readonly Entry[], signer: LogSigner): Promise<void> {
  if (entries.length === 0) return;
  const before = await log.tree();
  const bodies = entries.map(encodeEntry);
  const range = bodies.reduce<CompactRange>((grown, body) => append(grown, hashLeaf(body)), before);
  await log.insertEntries(before.size, bodies);
  const times = entries.map(({ at }, index) => ({ number: before.size + index, atMs: at }));
  await log.setTree({ ...range, times: appendTimes(before.times, times) });
  const checkpoint = { origin: originOf(signer.storeId), size: range.size, root: rootOf(range) };
  await log.insertCheckpoint(signCheckpoint(checkpoint, signer.key));
}
