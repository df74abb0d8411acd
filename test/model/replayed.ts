/** A real service that does what a model did, also after crashes. */
import assert from "node:assert/strict";
import { copyFileSync, existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import {
  ask,
  enrolled,
  makeHome,
  type OpenService,
  openService,
  recoveryBody,
  type TestLatch,
  type TestMachine,
} from "../support/server/harness.ts";

export const MINUTE_MS = 60_000;
export const ADDRESSES: Readonly<Record<string, string>> = { 1: "192.0.2.7", 2: "198.51.100.9" };
const BODY = recoveryBody();

export abstract class ReplayedService implements AsyncDisposable {
  readonly #home = makeHome();
  #folder = this.#home.folder;
  #lives = 0;
  service!: OpenService;
  machine!: TestMachine;
  #latch!: TestLatch;

  /** Opens it, with one machine that has one latch. */
  async open(): Promise<void> {
    this.service = await openService(this.#folder);
    const { machine, latch } = await enrolled(this.service, "nas");
    this.machine = machine;
    this.#latch = latch;
  }

  /** Asks for the key from an address of the model. @returns the outcome in the model's words */
  async ask(from: string): Promise<string> {
    const told = await ask(this.service, this.#latch, BODY, ADDRESSES[from]);
    const outcome = told.kind === "refused" ? told.reason.replace("policy/", "").replace("/", "-") : told.kind;
    return outcome.replaceAll("-", "_");
  }

  /** Time goes on by so much. */
  pass(ms: number): void {
    const { clock } = this.service;
    clock.nowMs += ms;
    clock.monotonicMs += ms;
  }

  /** As after kill -9: what lies in the files now is all there is. */
  async crash(): Promise<void> {
    const { nowMs } = this.service.clock;
    const next = join(this.#home.path, `life-${++this.#lives}`);
    mkdirSync(next, { mode: 0o700 });
    for (const name of ["store.sqlite", "store.sqlite-wal", "master.key", "cells"]) {
      const from = join(this.#folder, name);
      if (existsSync(from)) copyFileSync(from, join(next, name));
    }
    copyFileSync(`${this.#folder}.id`, `${next}.id`);
    await this.service[Symbol.asyncDispose]();
    this.#folder = next;
    this.service = await openService(next, { nowMs });
  }

  /** Does one thing, and says what came of it in the model's words. */
  abstract take(words: readonly string[]): Promise<string>;

  /**
   * Does what a run of the model did.
   * @returns what came of each step, in their order
   * @throws AssertionError where that is another thing than in the model
   */
  async replay(run: readonly (readonly string[])[], name: string): Promise<string[]> {
    await this.open();
    const all: string[] = [];
    for (const [index, words] of run.entries()) {
      const told = await this.take(words);
      assert.equal(told, words.join(" "), `${name}, step ${index}: ${run.slice(0, index + 1).join("; ")}`);
      all.push(told);
    }
    return all;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.service[Symbol.asyncDispose]();
    this.#home[Symbol.dispose]();
  }
}
