// @ts-nocheck
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { hashLeaf, hashNode } from "../../../../src/formats/log/merkle.ts";
import {
  consistencyRanges,
  hashOfNodes,
  inclusionRanges,
  type LeafRange,
  nodesOf,
  provesGrowth,
  provesInclusion,
  type TreeNode,
} from "../../../../src/formats/log/proof.ts";

const leaf = (index: number) => hashLeaf(Buffer.from(`leaf ${index}`));
const nodeHash = ({ level, index }: TreeNode): Buffer =>
  level === 0
    ? leaf(index)
    : hashNode(nodeHash({ level: level - 1, index: 2 * index }), nodeHash({ level: level - 1, index: 2 * index + 1 }));
const hashOf = (range: LeafRange) => hashOfNodes(nodesOf(range).map(nodeHash));
const treeOf = (size: number) => ({ size, root: hashOf({ from: 0, to: size }) });
const proofOf = (ranges: readonly LeafRange[]) => ranges.map(hashOf);

// RFC 6962 section 2.1.3: the proofs of its example tree of seven leaves.
test("the proofs of RFC 6962's example", () => {
  const names = (ranges: readonly LeafRange[]) => ranges.map(({ from, to }) => `${from}-${to}`).join(" ");
  assert.equal(names(inclusionRanges(0, 7)), "1-2 2-4 4-7", "b, h, l");
  assert.equal(names(inclusionRanges(3, 7)), "2-3 0-2 4-7", "c, g, l");
  assert.equal(names(inclusionRanges(4, 7)), "5-6 6-7 0-4", "f, j, k");
  assert.equal(names(inclusionRanges(6, 7)), "4-6 0-4", "i, k");
  assert.equal(names(consistencyRanges(3, 7)), "2-3 3-4 0-2 4-7", "c, d, g, l");
  assert.equal(names(consistencyRanges(4, 7)), "4-7", "l");
  assert.equal(names(consistencyRanges(6, 7)), "4-6 6-7 0-4", "i, j, k");
});

test("every leaf of every small tree is proved, and no proof fits anything else", () => {
  for (let size = 1; size <= 20; size++) {
    const tree = treeOf(size);
    for (let index = 0; index < size; index++) {
      const proof = proofOf(inclusionRanges(index, size));
      assert.ok(provesInclusion({ index, hash: leaf(index) }, tree, proof), `${index} of ${size}`);
      for (let other = 0; other < size; other++) {
        if (other === index) continue;
        assert.ok(!provesInclusion({ index, hash: leaf(other) }, tree, proof));
        assert.ok(!provesInclusion({ index: other, hash: leaf(index) }, tree, proof));
      }
      assert.ok(!provesInclusion({ index, hash: leaf(index) }, tree, [...proof, leaf(0)]));
      if (proof.length > 0) assert.ok(!provesInclusion({ index, hash: leaf(index) }, tree, proof.slice(1)));
    }
  }
});

test("growth from every earlier tree is proved, and from no other", () => {
  for (let size = 1; size <= 20; size++) {
    for (let earlier = 0; earlier <= size; earlier++) {
      const proof = proofOf(consistencyRanges(earlier, size));
      const before = treeOf(earlier === 0 ? 1 : earlier);
      const from = earlier === 0 ? { ...before, size: 0 } : before;
      assert.ok(provesGrowth(from, treeOf(size), proof), `${earlier} to ${size}`);
      if (earlier === 0) continue;
      const changed = { size: earlier, root: leaf(1000) };
      assert.ok(!provesGrowth(changed, treeOf(size), proof), "an earlier tree with another root");
      assert.ok(!provesGrowth(before, { size, root: leaf(1000) }, proof), "a tree with another root");
      assert.ok(!provesGrowth(before, treeOf(size), [...proof, leaf(0)]));
      if (size > earlier) assert.ok(!provesGrowth(treeOf(size), before, proof), "it went back");
    }
  }
});

test("hostile sizes and proofs are refused, in bounded work", () => {
  const hash = fc.uint8Array({ minLength: 0, maxLength: 33 }).map((bytes) => Buffer.from(bytes));
  const size = fc.oneof(fc.double(), fc.integer(), fc.constant(2 ** 53), fc.maxSafeInteger());
  fc.assert(
    fc.property(size, size, fc.array(hash, { maxLength: 200 }), (one, other, proof) => {
      const tree = { size: one, root: leaf(0) };
      assert.equal(provesInclusion({ index: other, hash: leaf(1) }, tree, proof), false);
      if (other !== 0 && other !== one) assert.equal(provesGrowth({ size: other, root: leaf(1) }, tree, proof), false);
    }),
  );
});
