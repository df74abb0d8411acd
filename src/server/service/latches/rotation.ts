import { createPrivateKey } from "node:crypto";
import type { Entry } from "../../audit/entry.ts";
import type { Transaction } from "../../store/port.ts";
import type { FormerEpoch, LatchRow, MachineRow } from "../../store/rows.ts";
import { insist, settleChange } from "../insist.ts";
import type { Halted } from "../memory/halts.ts";
import { alreadyRevoked, findMachine } from "../policies/states.ts";
import type { Recorded } from "../queue.ts";
import type { Service } from "../service.ts";
import { makeKeys } from "./latch.ts";

/** What a rotation of a machine's latches, or its end, has done. */
export interface Turned {
  /** False where it was so already. */
  readonly changed: boolean;
  readonly machine: MachineRow;
  readonly latches: readonly LatchRow[];
  /** The former epochs whose keys are still released. */
  readonly formers: readonly FormerEpoch[];
  /** After an end: whether no copy of the former keys opens any more; else it is tried again. */
  readonly destroyed: boolean;
  /** Whether their bytes are gone from the store's files too. */
  readonly scrubbed: boolean;
  /** Whether an older copy of the store would be found out as one that has not heard of this. */
  readonly recorded: boolean;
}

type Done = Pick<Turned, "changed" | "machine" | "latches" | "formers">;

/** An operator's request. */
interface TurnRequest {
  /** The operator's user id. */
  readonly by: number;
}

/**
 * Gives each latch of a machine the keys of its next epoch, which it advertises from now on, and
 * which the key before vouches for. The former keys are released as before until their end: by the
 * machine, which has bound anew, or by an operator. A latch that has former keys already is left.
 * @throws NightlatchError machine/unknown, machine/revoked, store/*
 */
export async function rotateMachine(service: Service, nameOrId: string, { by }: TurnRequest): Promise<Turned> {
  return await turn(service, nameOrId, async (transaction, machine) => {
    const entries: Entry[] = [];
    const turned = new Set((await transaction.formers({ machine: machine.id })).map(({ latch }) => latch));
    for (const latch of await transaction.latchesOf(machine.id)) {
      // One whose cell is empty was revoked in a later copy of the store than this one.
      if (latch.state === "revoked" || turned.has(latch.id) || service.cells.isEmpty(latch.cell ?? 0)) continue;
      const kid = await beginEpoch(service, transaction, latch);
      const { id, epoch } = latch;
      const at = service.system.nowMs();
      entries.push({ kind: "latch-rotate", at, machine: machine.id, latch: id, epoch: epoch + 1, kid, by });
    }
    return entries;
  });
}

/**
 * Destroys the former keys of a machine's latches. A binding to them opens nothing from then on.
 * @throws NightlatchError machine/unknown, machine/revoked, store/*
 */
export async function finishRotation(service: Service, nameOrId: string, { by }: TurnRequest): Promise<Turned> {
  return await turn(service, nameOrId, async (transaction, machine) => {
    const entries: Entry[] = [];
    for (const former of await transaction.formers({ machine: machine.id }))
      entries.push(await retire(service, transaction, machine.id, former, { by }));
    return entries;
  });
}

/** Destroys the keys of one former epoch. @returns what the log says of it */
export async function retire(
  service: Pick<Service, "system">,
  transaction: Transaction,
  machine: string,
  { latch, epoch }: FormerEpoch,
  who: { readonly by: number } | { readonly from: string },
): Promise<Entry> {
  await transaction.retireFormer(latch);
  return { kind: "latch-retire", at: service.system.nowMs(), machine, latch, epoch, ...who };
}

async function turn(
  service: Service,
  nameOrId: string,
  act: (transaction: Transaction, machine: MachineRow) => Promise<Entry[]>,
): Promise<Turned> {
  const subject = async (transaction: Transaction): Promise<Halted> => {
    return { machine: (await findMachine(transaction, nameOrId)).id, latch: null };
  };
  const done = await insist(service, { subject, stops: false }, async (transaction): Promise<Recorded<Done>> => {
    const machine = await findMachine(transaction, nameOrId);
    if (machine.state === "revoked") throw alreadyRevoked(`the machine ${machine.name}`);
    const entries = await act(transaction, machine);
    const latches = await transaction.latchesOf(machine.id);
    const formers = await transaction.formers({ machine: machine.id });
    return { outcome: { changed: entries.length > 0, machine, latches, formers }, entries };
  });
  const scrubbed = service.store.needsScrub ? await service.store.scrub() : true;
  const recorded = await settleChange(service);
  return { ...done, destroyed: !service.store.owes, scrubbed, recorded };
}

/** @returns the thumbprint of the new exchange key */
async function beginEpoch(service: Service, transaction: Transaction, latch: LatchRow): Promise<string> {
  const signing = (await transaction.keys(latch.id)).find(
    ({ purpose, epoch }) => purpose === "signing" && epoch === latch.epoch,
  );
  if (signing === undefined) throw new Error("a latch that is not revoked has a signing key");
  const { id, epoch } = latch;
  using der = service.cells.unwrap(latch.cell ?? 0, signing.wrapped, { purpose: "signing", id, epoch });
  const former = createPrivateKey({ key: der.reveal(), format: "der", type: "pkcs8" });
  const { cell, keys, advertisement } = makeKeys(service, { id, epoch: epoch + 1, former });
  await transaction.rotateLatch(id, { epoch: epoch + 1, advertisement, cell }, keys);
  return keys[0].kid;
}
