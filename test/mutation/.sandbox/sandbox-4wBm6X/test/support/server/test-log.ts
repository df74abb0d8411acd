/** A log of another server that a test grows, forks and signs as it likes. */
// @ts-nocheck

import { generateKeyPairSync } from "node:crypto";
import { append, EMPTY_RANGE, hashLeaf, rootOf } from "../../../src/formats/log/merkle.ts";
import { formatNote, formatVerifier, type SignedCheckpoint, signCheckpoint } from "../../../src/formats/log/note.ts";
import { consistencyRanges } from "../../../src/formats/log/proof.ts";
import { buildSubmission } from "../../../src/formats/log/submission.ts";

export class TestLog {
  readonly origin: string;
  readonly #pair = generateKeyPairSync("ed25519");
  readonly #leaves: Buffer[];

  constructor(origin = "nightlatch/log", leaves: readonly Buffer[] = []) {
    this.origin = origin;
    this.#leaves = [...leaves];
  }

  get verifier(): string {
    return formatVerifier(this.origin, this.publicKey);
  }

  get publicKey() {
    return this.#pair.publicKey;
  }

  get size(): number {
    return this.#leaves.length;
  }

  /** Grows by entries that nobody else has, or has them said. */
  grow(count: number, word = "entry"): void {
    for (let at = 0; at < count; at++) this.#leaves.push(hashLeaf(Buffer.from(`${word} ${this.#leaves.length}`)));
  }

  /** Another log under the same key, the same up to this size. */
  forkAt(size: number): TestLog {
    const fork = new TestLog(this.origin, this.#leaves.slice(0, size));
    Object.assign(fork.#pair, this.#pair);
    return fork;
  }

  checkpoint(size = this.size): SignedCheckpoint {
    return signCheckpoint({ origin: this.origin, size, root: this.#root(0, size) }, this.#pair.privateKey);
  }

  note(size = this.size): string {
    return formatNote(this.checkpoint(size), this.publicKey);
  }

  proof(from: number, size = this.size): Buffer[] {
    return consistencyRanges(from, size).map((range) => this.#root(range.from, range.to));
  }

  /** What a witness is sent that has signed `from` entries. */
  submission(from: number, size = this.size): Buffer {
    return buildSubmission({ oldSize: from, proof: from > size ? [] : this.proof(from, size), note: this.note(size) });
  }

  #root(from: number, to: number): Buffer {
    return rootOf(this.#leaves.slice(from, to).reduce(append, EMPTY_RANGE));
  }
}
