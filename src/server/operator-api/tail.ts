import { NightlatchError } from "../../core/errors.ts";
import type { Json } from "../../formats/json/json.ts";
import { readEntry } from "../audit/latest.ts";
import { json, type Reply } from "../http/reply.ts";
import { findMachine } from "../service/policies/states.ts";
import type { Reads, Store } from "../store/port.ts";
import type { LatchRow } from "../store/rows.ts";
import { entryTime } from "./views.ts";

/** How many entries one request looks at. It takes some milliseconds, for which releases wait. */
const SCAN = 2048;
const MAX_COUNT = 256;

/**
 * Answers `GET audit/tail/{before}/{count}[/{machine}]` and `GET
 * audit/after/{from}/{count}[/{machine}]` of docs/format/admin.md: a piece of the log with its
 * names, backwards from an entry or forwards. It is bounded in entries and in work, so it may find
 * fewer than there are.
 * @throws NightlatchError request/malformed, machine/unknown, store/*
 */
export async function showTail(store: Pick<Store, "transact">, path: readonly string[]): Promise<Reply> {
  const [direction, position, count, machine, ...others] = path;
  const limit = Number(/^\d{1,3}$/.exec(count ?? "")?.[0] ?? Number.NaN);
  const isKnown = position === "end" ? direction === "tail" : /^\d{1,15}$/.test(position ?? "");
  if (!isKnown || !(limit >= 1 && limit <= MAX_COUNT) || others.length > 0)
    throw new NightlatchError("request/malformed", "the server does not know this part of the log");
  return store.transact(async (transaction) => {
    const names = new Names(transaction);
    const subject = machine === undefined ? null : await findSubject(transaction, machine);
    const { size } = await transaction.tree();
    const backwards = direction === "tail";
    const start = backwards && position === "end" ? size : Math.min(Number(position), size);
    const from = backwards ? Math.max(0, start - SCAN) : start;
    const page = await transaction.entries(from, backwards ? start - from : SCAN);
    const entries: object[] = [];
    let next = backwards ? from : Math.max(start, (page.at(-1)?.number ?? start - 1) + 1);
    for (const { number, body } of backwards ? page.reverse() : page) {
      const entry = readEntry(body);
      if (subject !== null && !(await isAbout(subject, entry, names))) continue;
      entries.push(await names.view(number, entry));
      if (entries.length < limit) continue;
      next = backwards ? number : number + 1;
      break;
    }
    return json(200, { entries: backwards ? entries.reverse() : entries, next, size });
  });
}

type Entry = Readonly<Record<string, Json>>;

/** What the log is asked about: a machine, and whatever is called so. */
interface Subject {
  /** Null where only an invite has the name. */
  readonly id: string | null;
  readonly name: string;
}

/** @throws NightlatchError machine/unknown */
async function findSubject(transaction: Reads, nameOrId: string): Promise<Subject> {
  try {
    return await findMachine(transaction, nameOrId);
  } catch (error) {
    if (!(await transaction.hasInvited(nameOrId))) throw error;
    return { id: null, name: nameOrId };
  }
}

async function isAbout({ id, name }: Subject, entry: Entry, names: Names): Promise<boolean> {
  const { machine, name: called, subject } = entry;
  if (machine !== undefined && machine === id) return true;
  if (typeof subject === "string") {
    const found = await names.of(subject);
    return found?.machine === undefined ? found?.name === name : found.machine === id;
  }
  return machine === undefined && called === name;
}

interface Named {
  readonly name: string;
  /** The machine's id; absent of an invite. */
  readonly machine?: string;
  /** The volume of a latch. */
  readonly volume?: string;
}

const TIMES = ["at", "until", "since", "last", "expires"];

/** What the ids in the log are called, looked up once each. */
class Names {
  readonly #transaction: Reads;
  readonly #known = new Map<string, Named | null>();

  constructor(transaction: Reads) {
    this.#transaction = transaction;
  }

  /** What a latch, a machine or an invite is called; null where there is none of this id. */
  async of(id: string): Promise<Named | null> {
    const known = this.#known.get(id);
    if (known !== undefined) return known;
    const found = await this.#find(id);
    this.#known.set(id, found);
    return found;
  }

  async #find(id: string): Promise<Named | null> {
    const latch: LatchRow | null = await this.#transaction.latch(id);
    const machine = await this.#transaction.machine(latch?.machineId ?? id);
    if (machine !== null) {
      return { name: machine.name, machine: machine.id, ...(latch === null ? {} : { volume: latch.volume }) };
    }
    const invite = await this.#transaction.invite(id);
    return invite === null ? null : { name: invite.name };
  }

  /**
   * The entry as it was logged, with its times as text. Beside that, `name` is of the machine or
   * invite that it is about, `volume` of the latch, and `known` of the machine whose identity came
   * with an invite for another.
   */
  async view(number: number, entry: Entry): Promise<object> {
    const { latch, subject, machine } = entry;
    const id = [subject, latch, machine].find((one) => typeof one === "string");
    const about = typeof id === "string" ? await this.of(id) : null;
    const known = typeof subject === "string" && typeof machine === "string" ? await this.of(machine) : null;
    const shown = { number, ...entry } as Record<string, unknown>;
    for (const member of TIMES) if (member in entry) shown[member] = entryTime(entry[member]);
    return {
      ...shown,
      name: entry["name"] ?? about?.name ?? null,
      volume: entry["volume"] ?? about?.volume ?? null,
      ...(known === null ? {} : { known: known.name }),
    };
  }
}
