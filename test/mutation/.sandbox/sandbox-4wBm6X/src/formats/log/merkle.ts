// @ts-nocheck
import { hash } from "node:crypto";

/**
 * The compact range of all leaves so far, in the Merkle tree of RFC 6962 section 2.1 with SHA-256:
 * the roots of the perfect subtrees that the leaves make up, largest first, one for each bit that
 * is set in the size. That is all it takes to append.
 */
export interface CompactRange {
  /** How many leaves there are. */
  readonly size: number;
  readonly hashes: readonly Buffer[];
}

/** The length of a SHA-256 hash. */
export const HASH_BYTES = 32;
/** The range of no leaves. */
export const EMPTY_RANGE: CompactRange = { size: 0, hashes: [] };

const LEAF = Buffer.of(0);
const NODE = Buffer.of(1);

/** MTH({d}) = SHA-256(0x00 || d) */
export function hashLeaf(leaf: Uint8Array): Buffer {
  return sha256(Buffer.concat([LEAF, leaf]));
}

/** SHA-256(0x01 || left || right) */
export function hashNode(left: Uint8Array, right: Uint8Array): Buffer {
  return sha256(Buffer.concat([NODE, left, right]));
}

/**
 * The range with one more leaf.
 * @throws RangeError where the hashes do not fit the size
 */
export function append(range: CompactRange, leafHash: Buffer): CompactRange {
  const hashes = [...range.hashes];
  let right = leafHash;
  for (let rest = range.size; rest % 2 === 1; rest = Math.floor(rest / 2)) {
    const left = hashes.pop();
    if (left === undefined) throw new RangeError("the edge does not fit its size");
    right = hashNode(left, right);
  }
  hashes.push(right);
  return { size: range.size + 1, hashes };
}

/** The tree's root (MTH); of no leaves, SHA-256 of the empty string. */
export function rootOf(range: Pick<CompactRange, "hashes">): Buffer {
  const [smallest, ...larger] = [...range.hashes].reverse();
  if (smallest === undefined) return sha256(Buffer.alloc(0));
  return larger.reduce((right, left) => hashNode(left, right), smallest);
}

/** The hashes of a range one after another. */
export function packRange(range: CompactRange): Buffer {
  return Buffer.concat(range.hashes);
}

/** Reads a packed range. Null where the bytes cannot be the range of a tree of this size. */
export function unpackRange(size: number, packed: Uint8Array): CompactRange | null {
  if (!Number.isSafeInteger(size) || size < 0 || packed.byteLength !== bitsSet(size) * HASH_BYTES) return null;
  const hashes: Buffer[] = [];
  for (let at = 0; at < packed.byteLength; at += HASH_BYTES)
    hashes.push(Buffer.from(packed.subarray(at, at + HASH_BYTES)));
  return { size, hashes };
}

function bitsSet(value: number): number {
  let count = 0;
  for (let rest = value; rest > 0; rest = Math.floor(rest / 2)) count += rest % 2;
  return count;
}

function sha256(bytes: Uint8Array): Buffer {
  return hash("sha256", bytes, "buffer");
}
