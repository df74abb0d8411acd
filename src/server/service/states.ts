import { isError, NightlatchError } from "../../core/errors.ts";
import type { Entry } from "../audit/entry.ts";
import type { State } from "../policy/decide.ts";
import type { LatchRow, MachineRow, Reads, Transaction } from "../store/port.ts";
import type { Halted } from "./halts.ts";
import type { Operation, Recorded } from "./queue.ts";
import type { Service } from "./service.ts";

/** What an operator does to a machine or a latch. */
export type StateChange = "lock" | "unlock" | "revoke";

/** An operator's request for a change. */
export interface ChangeRequest {
  /** The operator's user id. */
  readonly by: number;
  readonly change: StateChange;
}

/** What a change has done. */
export interface Changed {
  /** False where it was so already. */
  readonly changed: boolean;
  readonly machine: MachineRow;
  /** The latches that the change was about. */
  readonly latches: readonly LatchRow[];
  /**
   * After a revocation: whether no copy of the keys opens any more. False where the disk failed; it
   * is tried again.
   */
  readonly destroyed: boolean;
  /**
   * Whether their bytes are gone from the store's files too. False where a reader or a full disk
   * holds that up.
   */
  readonly scrubbed: boolean;
  /** Whether an older copy of the store would be found out as one that has not heard of this. */
  readonly recorded: boolean;
}

type Done = Omit<Changed, "destroyed" | "scrubbed" | "recorded">;

const RESULT: Readonly<Record<StateChange, State>> = { lock: "locked", unlock: "active", revoke: "revoked" };

/**
 * Changes the state of a machine, and of its latches with it. The machine is given by its name or
 * its id.
 * @throws NightlatchError machine/unknown, machine/revoked, store/*
 */
export async function changeMachine(service: Service, nameOrId: string, request: ChangeRequest): Promise<Changed> {
  const subject = async (transaction: Transaction): Promise<Halted> => {
    const { id } = await findMachine(transaction, nameOrId);
    return { machine: id, latch: null };
  };
  return finish(
    service,
    request,
    await insist(service, request, subject, async (transaction): Promise<Recorded<Done>> => {
      const machine = await findMachine(transaction, nameOrId);
      const latches = await transaction.latchesOf(machine.id);
      const state = RESULT[request.change];
      if (machine.state === state) return { outcome: { changed: false, machine, latches }, entries: [] };
      if (machine.state === "revoked") throw alreadyRevoked(`the machine ${machine.name}`);
      const epoch = machine.epoch + 1;
      await transaction.setMachine(machine.id, state, epoch);
      if (state === "revoked") for (const latch of latches) await revokeLatch(transaction, latch.id);
      const after = await transaction.latchesOf(machine.id);
      const at = service.system.nowMs();
      const { id, name } = machine;
      const entry: Entry = { kind: `machine-${request.change}`, at, machine: id, name, epoch, by: request.by };
      return { outcome: { changed: true, machine: { ...machine, state, epoch }, latches: after }, entries: [entry] };
    }),
  );
}

/**
 * Changes the state of one latch.
 * @throws NightlatchError latch/unknown, machine/revoked, store/*
 */
export async function changeLatch(service: Service, latchId: string, request: ChangeRequest): Promise<Changed> {
  const subject = async (transaction: Transaction): Promise<Halted | null> => {
    const latch = await transaction.latch(latchId);
    return latch === null ? null : { machine: latch.machineId, latch: latchId };
  };
  return finish(
    service,
    request,
    await insist(service, request, subject, async (transaction): Promise<Recorded<Done>> => {
      const latch = await transaction.latch(latchId);
      if (latch === null) {
        throw new NightlatchError("latch/unknown", "there is no such latch", {
          remedy: "See the machine's latches: nightlatch machine show NAME",
        });
      }
      const machine = await findMachine(transaction, latch.machineId);
      const state = RESULT[request.change];
      if (latch.state === state) return { outcome: { changed: false, machine, latches: [latch] }, entries: [] };
      if (latch.state === "revoked") throw alreadyRevoked("the latch");
      if (state === "revoked") await revokeLatch(transaction, latchId);
      else await transaction.setLatch(latchId, state);
      const at = service.system.nowMs();
      const entry: Entry = { kind: `latch-${request.change}`, at, machine: machine.id, latch: latchId, by: request.by };
      return { outcome: { changed: true, machine, latches: [{ ...latch, state }] }, entries: [entry] };
    }),
  );
}

/**
 * Finds a machine by its name, or else by its id.
 * @throws NightlatchError machine/unknown, store/*
 */
export async function findMachine(transaction: Reads, nameOrId: string): Promise<MachineRow> {
  const machine = (await transaction.machineByName(nameOrId)) ?? (await transaction.machine(nameOrId));
  if (machine !== null) return machine;
  const isInvited = (await transaction.openInvites()).some(({ name }) => name === nameOrId);
  throw new NightlatchError("machine/unknown", `there is no machine ${JSON.stringify(nameOrId.slice(0, 80))}`, {
    ...(isInvited ? { meaning: "It was invited, and has not enrolled." } : {}),
    remedy: isInvited
      ? `Take the invite back: nightlatch machine uninvite ${nameOrId}`
      : "See which there are: nightlatch machine list",
  });
}

async function revokeLatch(transaction: Transaction, latchId: string): Promise<void> {
  await transaction.destroyKeys(latchId);
  await transaction.setLatch(latchId, "revoked");
}

/**
 * Makes a change that must not fail for want of room. What is to be locked or revoked is released
 * no more from now on, before anything of the change is on the disk. It must be recorded on a full
 * disk too, so it is tried once more in the room that was held back for it. The subject is looked
 * up for every change, also for those that stop nothing: so changes are recorded in the order in
 * which operators asked for them.
 */
async function insist<T>(
  service: Service,
  { change }: ChangeRequest,
  subject: (transaction: Transaction) => Promise<Halted | null>,
  operation: Operation<T>,
): Promise<T> {
  const halted = await service.store.transact(subject);
  using _halt = halted === null || change === "unlock" ? null : service.halts.place(halted);
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
 * Does what follows a change. A repeated change does it again: the first may have been cut short,
 * or have found the disk full.
 */
async function finish(service: Service, request: ChangeRequest, done: Done): Promise<Changed> {
  const scrubbed = request.change === "revoke" ? await service.store.scrub() : true;
  const recorded = await isRecorded(service);
  await service.store.holdRoom(); // before a release can use it up
  return { ...done, destroyed: !service.store.owes, scrubbed, recorded };
}

/**
 * Whether the change is recorded beside the store too. The change itself is made and holds, so a
 * failure is told beside it.
 */
async function isRecorded(service: Service): Promise<boolean> {
  try {
    await service.store.recordProgress();
    return true;
  } catch (error) {
    if (isError(error)) return false;
    throw error;
  }
}

function alreadyRevoked(what: string): NightlatchError {
  return new NightlatchError("machine/revoked", `${what} was revoked: its keys are destroyed`, {
    meaning: "Nothing was changed, and nothing can bring them back.",
    remedy: "Invite the machine anew, and bind its volumes again.",
  });
}
