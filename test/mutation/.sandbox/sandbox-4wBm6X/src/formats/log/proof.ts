// @ts-nocheck
import { HASH_BYTES, hashNode, rootOf } from "./merkle.ts";

/**
 * Proofs about the Merkle tree of RFC 6962 (RFC 9162 section 2.1.3 and 2.1.4): that a leaf is in
 * the tree, and that a tree has grown from an earlier one. What they are made of is told here as
 * ranges of leaves; whoever keeps the tree has the hashes.
 */

/** The leaves from number `from` to before `to`. */
export interface LeafRange {
  readonly from: number;
  readonly to: number;
}

/** A subtree that is full: the leaves from `index`·2^`level` on, 2^`level` of them. */
export interface TreeNode {
  readonly level: number;
  readonly index: number;
}

/** No proof has more hashes: a tree of 2^53 leaves. */
export const PROOF_HASHES = 2 * 53;

/**
 * What proves that leaf `index` is in the tree of `size` leaves: PATH(index, D[size]) of RFC 9162,
 * from the leaf up.
 * @throws RangeError where the tree has no such leaf
 */
export function inclusionRanges(index: number, size: number): LeafRange[] {
  if (!(index >= 0 && index < size)) throw new RangeError("the tree has no such leaf");
  const path: LeafRange[] = [];
  let [from, to] = [0, size];
  while (to - from > 1) {
    const middle = from + splitOf(to - from);
    if (index < middle) {
      path.push({ from: middle, to });
      to = middle;
    } else {
      path.push({ from, to: middle });
      from = middle;
    }
  }
  return path.reverse();
}

/**
 * What proves that the tree of `size` leaves has grown from that of `earlier` leaves:
 * PROOF(earlier, D[size]) of RFC 9162. Empty where they are of one size, or the earlier is empty.
 * @throws RangeError where the earlier tree is larger
 */
export function consistencyRanges(earlier: number, size: number): LeafRange[] {
  if (!(earlier >= 0 && earlier <= size)) throw new RangeError("the earlier tree is larger");
  if (earlier === 0 || earlier === size) return [];
  const path: LeafRange[] = [];
  let [from, to] = [0, size];
  while (to !== earlier) {
    const middle = from + splitOf(to - from);
    if (earlier <= middle) {
      path.push({ from: middle, to });
      to = middle;
    } else {
      path.push({ from, to: middle });
      from = middle;
    }
  }
  // The earlier tree as a whole is what the verifier has already.
  if (from > 0) path.push({ from, to });
  return path.reverse();
}

/** The full subtrees that a range of a tree's leaves is made of, from the left. */
export function nodesOf({ from, to }: LeafRange): TreeNode[] {
  const nodes: TreeNode[] = [];
  for (let at = from; at < to; ) {
    let level = 0;
    while (at % 2 ** (level + 1) === 0 && at + 2 ** (level + 1) <= to) level++;
    nodes.push({ level, index: at / 2 ** level });
    at += 2 ** level;
  }
  return nodes;
}

/** The hash of a range, from those of `nodesOf`. */
export function hashOfNodes(hashes: readonly Buffer[]): Buffer {
  return rootOf({ hashes });
}

/**
 * Whether a leaf is in a tree: RFC 9162 section 2.1.3.2.
 * @param proof hashes of `inclusionRanges`
 */
export function provesInclusion(
  leaf: { readonly index: number; readonly hash: Buffer },
  tree: { readonly size: number; readonly root: Buffer },
  proof: readonly Buffer[],
): boolean {
  if (!isSize(tree.size) || !isSize(leaf.index) || leaf.index >= tree.size || !areHashes(proof)) return false;
  let place = leaf.index;
  let last = tree.size - 1;
  let hash = leaf.hash;
  for (const sibling of proof) {
    if (last === 0) return false;
    if (place % 2 === 1 || place === last) {
      hash = hashNode(sibling, hash);
      while (place % 2 === 0 && place !== 0) [place, last] = [half(place), half(last)];
    } else {
      hash = hashNode(hash, sibling);
    }
    [place, last] = [half(place), half(last)];
  }
  return last === 0 && hash.equals(tree.root);
}

/**
 * Whether a tree has grown from an earlier one: RFC 9162 section 2.1.4.2. A tree has always grown
 * from the empty one.
 * @param proof hashes of `consistencyRanges`
 */
export function provesGrowth(
  earlier: { readonly size: number; readonly root: Buffer },
  tree: { readonly size: number; readonly root: Buffer },
  proof: readonly Buffer[],
): boolean {
  if (!isSize(tree.size) || !isSize(earlier.size) || earlier.size > tree.size || !areHashes(proof)) return false;
  if (earlier.size === 0) return proof.length === 0;
  if (earlier.size === tree.size) return proof.length === 0 && earlier.root.equals(tree.root);
  // Where the earlier tree is full it is its own first hash.
  const isFull = Number.isInteger(Math.log2(earlier.size));
  const [first, ...rest] = isFull ? [earlier.root, ...proof] : proof;
  if (first === undefined) return false;
  let place = earlier.size - 1;
  let last = tree.size - 1;
  while (place % 2 === 1) [place, last] = [half(place), half(last)];
  let [before, after] = [first, first];
  for (const sibling of rest) {
    if (last === 0) return false;
    if (place % 2 === 1 || place === last) {
      before = hashNode(sibling, before);
      after = hashNode(sibling, after);
      while (place % 2 === 0 && place !== 0) [place, last] = [half(place), half(last)];
    } else {
      after = hashNode(after, sibling);
    }
    [place, last] = [half(place), half(last)];
  }
  return last === 0 && before.equals(earlier.root) && after.equals(tree.root);
}

/** The largest power of two that is smaller than the count, which is at least 2. */
function splitOf(count: number): number {
  let split = 1;
  while (split * 2 < count) split *= 2;
  return split;
}

function half(value: number): number {
  return Math.floor(value / 2);
}

function isSize(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

function areHashes(proof: readonly Buffer[]): boolean {
  return proof.length <= PROOF_HASHES && proof.every((hash) => hash.length === HASH_BYTES);
}
