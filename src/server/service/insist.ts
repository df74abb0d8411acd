import { isError } from "../../core/errors.ts";
import type { Transaction } from "../store/port.ts";
import type { Halted } from "./memory/halts.ts";
import type { Operation } from "./queue.ts";
import type { Service } from "./service.ts";

/** What an operator's change is about, and whether it stops releases. */
export interface Insistence {
  /** Looks up the machine or the latch; null where there is none. */
  readonly subject: (transaction: Transaction) => Promise<Halted | null>;
  readonly stops: boolean;
}

/**
 * Makes a change that must not fail for want of room. What is to be locked or revoked is released
 * no more from now on, before anything of the change is on the disk. It must be recorded on a full
 * disk too, so it is tried once more in the room that was held back for it. The subject is looked
 * up for every change, also for those that stop nothing: so changes are recorded in the order in
 * which operators asked for them.
 * @throws what the operation throws, store/*
 */
export async function insist<T>(service: Service, { subject, stops }: Insistence, operation: Operation<T>): Promise<T> {
  const halted = await service.store.transact(subject);
  using _halt = halted === null || !stops ? null : service.halts.place(halted);
  try {
    return await service.queue.submitFirst(operation);
  } catch (error) {
    if (!isError(error, "store/full") || !(await service.store.makeRoom())) throw error;
  }
  try {
    return await service.queue.submitFirst(operation);
  } catch (error) {
    await service.store.holdRoom();
    throw error;
  }
}

/**
 * Does what follows every change: an older copy of the store is found out from now on as one that
 * has not heard of it, and room is held back again, before a release can use it up. The change
 * itself is made and holds, so a failure is told beside it.
 * @returns whether it is recorded beside the store too
 */
export async function settleChange(service: Service): Promise<boolean> {
  const recorded = await isRecorded(service);
  await service.store.holdRoom();
  return recorded;
}

async function isRecorded(service: Service): Promise<boolean> {
  try {
    await service.store.recordProgress();
    return true;
  } catch (error) {
    if (isError(error)) return false;
    throw error;
  }
}
