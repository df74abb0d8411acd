// @ts-nocheck
import assert from "node:assert/strict";
import { hash } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import {
  append,
  type CompactRange,
  EMPTY_RANGE,
  hashLeaf,
  packRange,
  rootOf,
  unpackRange,
} from "../../../../src/formats/log/merkle.ts";

// The leaves and roots that Certificate Transparency's implementations share
// (google/certificate-transparency, cpp/merkletree/merkle_tree_test.cc).
const LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
const ROOTS = [
  "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
  "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
  "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
  "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
  "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
  "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
  "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
  "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

test("the roots of Certificate Transparency's test vectors", () => {
  assert.equal(rootOf(EMPTY_RANGE).toString("hex"), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  let range = EMPTY_RANGE;
  for (const [index, leaf] of LEAVES.entries()) {
    range = append(range, hashLeaf(Buffer.from(leaf, "hex")));
    assert.equal(range.size, index + 1);
    assert.equal(rootOf(range).toString("hex"), ROOTS[index], `root of ${index + 1}`);
  }
});

/** MTH as RFC 6962 section 2.1 defines it. */
function definedRoot(leaves: readonly Buffer[]): Buffer {
  const [first] = leaves;
  if (leaves.length === 1 && first !== undefined) return hashLeaf(first);
  const split = 2 ** (Math.ceil(Math.log2(leaves.length)) - 1);
  const [left, right] = [definedRoot(leaves.slice(0, split)), definedRoot(leaves.slice(split))];
  return hash("sha256", Buffer.concat([Buffer.of(1), left, right]), "buffer");
}

test("appending leads to the root that the RFC defines, through storage and back", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 8 }), { minLength: 1, maxLength: 70 }), (leaves) => {
      const bodies = leaves.map((leaf) => Buffer.from(leaf));
      let range: CompactRange | null = EMPTY_RANGE;
      for (const body of bodies) {
        assert.ok(range !== null);
        const grown: CompactRange = append(range, hashLeaf(body));
        range = unpackRange(grown.size, packRange(grown));
      }
      assert.ok(range !== null);
      assert.deepEqual(rootOf(range), definedRoot(bodies));
    }),
  );
});

test("a range that does not fit its size is none", () => {
  for (const [size, lengthBytes] of [
    [0, 32],
    [1, 0],
    [1, 64],
    [2, 31],
    [3, 32],
    [-1, 0],
    [1.5, 32],
  ] as const) {
    assert.equal(unpackRange(size, Buffer.alloc(lengthBytes)), null, `${size} ${lengthBytes}`);
  }
});
