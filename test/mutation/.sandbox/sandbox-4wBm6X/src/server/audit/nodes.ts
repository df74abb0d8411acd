// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";
import { hashLeaf, hashNode } from "../../formats/log/merkle.ts";
import { hashOfNodes, type LeafRange, nodesOf, type TreeNode } from "../../formats/log/proof.ts";
import type { NumberedEntry } from "./verify.ts";

/**
 * Hashes of parts of the log's tree, for proofs. Of every eighth level the full subtrees are kept;
 * what lies between is computed of at most 255 of the level below, or of as many entries.
 */
const STEP = 8;
const WIDTH = 2 ** STEP;

/** What the hashes are made of, inside one transaction. */
interface NodeReads {
  entries(from: number, limit: number): Promise<NumberedEntry[]>;
  nodes(level: number, from: number, limit: number): Promise<Buffer[]>;
}

/** Where they are kept. */
interface NodeStore extends NodeReads {
  tree(): Promise<{ readonly size: number }>;
  nodeCount(level: number): Promise<number>;
  insertNode(level: number, number: number, hash: Buffer): Promise<void>;
}

/**
 * Keeps the subtrees that have become full, at most `limit` of them.
 * @returns whether all are kept now
 * @throws NightlatchError store/*
 */
export async function keepNodes(store: NodeStore, limit: number): Promise<boolean> {
  const { size } = await store.tree();
  let made = 0;
  for (let level = STEP; 2 ** level <= size; level += STEP) {
    const full = Math.floor(size / 2 ** level);
    for (let number = await store.nodeCount(level); number < full; number++) {
      if (made === limit) return false;
      await store.insertNode(level, number, fold(await below(store, level - STEP, number * WIDTH, WIDTH)));
      made++;
    }
  }
  return true;
}

/**
 * The hashes of ranges of the tree, in their order. Whoever asks has kept the nodes first.
 * @throws NightlatchError store/*
 */
export async function hashRanges(store: NodeReads, ranges: readonly LeafRange[]): Promise<Buffer[]> {
  const hashes: Buffer[] = [];
  for (const range of ranges) {
    const nodes: Buffer[] = [];
    for (const node of nodesOf(range)) nodes.push(await hashOfNode(store, node));
    hashes.push(hashOfNodes(nodes));
  }
  return hashes;
}

async function hashOfNode(store: NodeReads, { level, index }: TreeNode): Promise<Buffer> {
  const kept = level - (level % STEP);
  const count = 2 ** (level - kept);
  return fold(await below(store, kept, index * count, count));
}

/** So many hashes of a level that is kept, or of leaves. */
async function below(store: NodeReads, level: number, from: number, count: number): Promise<Buffer[]> {
  const hashes =
    level === 0
      ? (await store.entries(from, count)).map(({ body }) => hashLeaf(body))
      : await store.nodes(level, from, count);
  if (hashes.length === count) return hashes;
  throw new NightlatchError("store/damaged", "entries of the audit log are missing, or hashes over them", {
    remedy: "Run nightlatch audit verify, and restore the store and its master key from the same backup.",
  });
}

/** The root of a full subtree. */
function fold(hashes: readonly Buffer[]): Buffer {
  let row = hashes;
  while (row.length > 1) {
    row = row.flatMap((left, at) => {
      const right = row[at + 1];
      return at % 2 === 0 && right !== undefined ? [hashNode(left, right)] : [];
    });
  }
  const [root] = row;
  if (root === undefined) throw new RangeError("a subtree has at least one leaf");
  return root;
}
