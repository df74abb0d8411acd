/**
 * Another server, whose log this one cosigns (docs/format/witness.md). Its administrator rewrites
 * that log now and then, and asks for a signature on what has come of it.
 */
import { findCosignature, isCosigned } from "../../src/formats/log/cosignature.ts";
import { COSIGNATURE, parseVerifier, type Verifier } from "../../src/formats/log/note.ts";
import { TestLog } from "../support/server/test-log.ts";
import type { Chance } from "./chance.ts";
import type { Answer, Host } from "./network.ts";
import { Violation } from "./violation.ts";
import type { World } from "./world.ts";

const DAY_MS = 86_400_000;
const MINUTE_MS = 60_000;

export class SimulatedNeighbour {
  readonly #world: World;
  readonly #chance: Chance;
  readonly #host: Host;
  readonly #log: TestLog;
  /** The key that this server cosigns with; null until its operator has told it. */
  #witness: Verifier | null = null;
  /** How many entries are cosigned for sure. */
  #signed = 0;

  constructor(world: World, chance: Chance, host: Host) {
    this.#world = world;
    this.#chance = chance;
    this.#host = host;
    this.#log = new TestLog();
  }

  /** Lives until the simulation ends. */
  async live(): Promise<void> {
    this.#witness = await this.#beWitnessed();
    for (;;) {
      await this.#world.time.sleep(this.#world.waitMs(this.#chance, DAY_MS / 2));
      this.#log.grow(1 + this.#chance.below(5));
      if (this.#signed > 0 && this.#chance.happens(0.3)) await this.#rewrite();
      await this.#show(this.#log);
    }
  }

  /** The operators of both have exchanged their keys. */
  async #beWitnessed(): Promise<Verifier | null> {
    await this.#world.operator.order([], "witnesses", { verifier: this.#log.verifier });
    for (;;) {
      const answer = await this.#world.server.operate("GET", "witnesses");
      if (answer?.status === 200) return parseVerifier(String(answer.body["witness"]), COSIGNATURE);
      await this.#world.time.sleep(MINUTE_MS);
    }
  }

  /**
   * Shows a history in which something that is cosigned was never so. It is shorter, as long or
   * longer.
   */
  async #rewrite(): Promise<void> {
    const at = this.#chance.below(this.#signed);
    const other = this.#log.forkAt(at);
    other.grow(1 + this.#chance.below(this.#log.size - at + 5), "another");
    await this.#show(other);
  }

  /**
   * Asks for a signature on the whole of a history, once more where another size was signed last.
   */
  async #show(log: TestLog): Promise<void> {
    const first = await this.#ask(log, Math.min(this.#signed, log.size));
    const seen = first?.status === 409 ? Number(first.body) : null;
    const answer = seen !== null && seen <= log.size ? await this.#ask(log, seen) : first;
    if (log !== this.#log) return;
    if (answer?.status === 422) throw new Violation("liveness", "a log that has grown is not cosigned");
    if (answer?.status !== 200) return;
    this.#requireSignature(answer.body);
    this.#signed = log.size;
  }

  async #ask(log: TestLog, from: number): Promise<Answer | null> {
    const body = log.submission(from);
    this.#world.oracle.witness.shows(body, log, log.size);
    return this.#world.ask(this.#host, { method: "POST", path: "/witness/add-checkpoint", body });
  }

  #requireSignature(line: Buffer): void {
    const found = this.#witness === null ? null : findCosignature(String(line), this.#witness);
    if (found === null || this.#witness === null || !isCosigned(this.#log.checkpoint(), found, this.#witness.publicKey))
      throw new Violation("witness", "a cosignature does not hold");
  }
}
