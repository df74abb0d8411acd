import type { JsonObject } from "../../formats/json.ts";
import type { State } from "../policy/decide.ts";

/** A machine as the log or the store tells of it. */
export interface KnownMachine {
  readonly id: string;
  readonly name: string;
  readonly state: State;
  readonly epoch: number;
}

/** A latch as the log or the store tells of it. */
export interface KnownLatch {
  readonly id: string;
  readonly machine: string;
  readonly volume: string;
  readonly state: State;
  /** Of its exchange key; null once destroyed. */
  readonly kid: string | null;
}

const CHANGES: Readonly<Record<string, State>> = { lock: "locked", unlock: "active", revoke: "revoked" };

/**
 * What the machines and latches must be, if the log is the truth: every change of theirs is an entry of it. An edit of the store
 * beside the log shows as a difference.
 */
export class Replay {
  readonly #machines = new Map<string, KnownMachine>();
  readonly #latches = new Map<string, KnownLatch>();
  readonly #latchesOf = new Map<string, string[]>();

  apply(entry: JsonObject & { readonly kind: string }): void {
    const [subject, change] = entry.kind.split("-");
    const state = CHANGES[change ?? ""];
    if (entry.kind === "enrol" || entry.kind === "latch") this.#bind(entry);
    else if (subject === "machine" && state !== undefined) this.#changeMachine(entry, state);
    else if (subject === "latch" && state !== undefined) this.#changeLatch(String(entry["latch"]), state);
  }

  /** What differs, a sentence each; at most `limit`. */
  differences(machines: Iterable<KnownMachine>, latches: Iterable<KnownLatch>, limit: number): string[] {
    const found = [
      ...compare("machine", this.#machines, machines, ["name", "state", "epoch"]),
      ...compare("latch", this.#latches, latches, ["machine", "volume", "state", "kid"]),
    ];
    return found.slice(0, limit);
  }

  #bind(entry: JsonObject): void {
    const [machine, latch] = [String(entry["machine"]), String(entry["latch"])];
    const [name, volume, kid] = [String(entry["name"]), String(entry["volume"]), String(entry["kid"])];
    if (!this.#machines.has(machine)) this.#machines.set(machine, { id: machine, name, state: "active", epoch: 1 });
    this.#latches.set(latch, { id: latch, machine, volume, state: "active", kid });
    const siblings = this.#latchesOf.get(machine);
    if (siblings === undefined) this.#latchesOf.set(machine, [latch]);
    else siblings.push(latch);
  }

  #changeMachine(entry: JsonObject, state: State): void {
    const machine = this.#machines.get(String(entry["machine"]));
    if (machine === undefined) return;
    this.#machines.set(machine.id, { ...machine, state, epoch: Number(entry["epoch"]) });
    if (state === "revoked") for (const id of this.#latchesOf.get(machine.id) ?? []) this.#changeLatch(id, state);
  }

  #changeLatch(id: string, state: State): void {
    const latch = this.#latches.get(id);
    if (latch !== undefined) this.#latches.set(id, { ...latch, state, kid: state === "revoked" ? null : latch.kid });
  }
}

function* compare<T extends { readonly id: string }>(
  kind: string,
  expected: ReadonlyMap<string, T>,
  found: Iterable<T>,
  members: readonly (keyof T & string)[],
): Generator<string> {
  const missing = new Set(expected.keys());
  for (const row of found) {
    const should = expected.get(row.id);
    missing.delete(row.id);
    if (should === undefined) yield `the ${kind} ${row.id} is in the store, but the log does not know it`;
    else {
      for (const member of members) {
        if (row[member] === should[member]) continue;
        yield `the ${member} of ${kind} ${row.id} is ${String(row[member])} in the store, ${String(should[member])} by the log`;
      }
    }
  }
  for (const id of missing) yield `the ${kind} ${id} is in the log, but the store has lost it`;
}
