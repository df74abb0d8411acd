import { NightlatchError } from "../../../core/errors.ts";
import type { Entry } from "../../audit/entry.ts";
import type { State } from "../../policy/decide.ts";
import type { Reads, Transaction } from "../../store/port.ts";
import type { LatchRow, MachineRow } from "../../store/rows.ts";
import { adoptState, beginPulse } from "../alive/alive.ts";
import { insist, settleChange } from "../insist.ts";
import type { Halted } from "../memory/halts.ts";
import type { Recorded } from "../queue.ts";
import type { Service } from "../service.ts";

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
  const done = await insist(
    service,
    { subject, stops: request.change !== "unlock" },
    async (transaction): Promise<Recorded<Done>> => {
      const machine = await findMachine(transaction, nameOrId);
      const latches = await transaction.latchesOf(machine.id);
      const state = RESULT[request.change];
      // One that fell silent with its site is active, and unlocking it has it come back alone.
      const isSame = machine.state === state && (state !== "active" || machine.goneIn === null);
      if (isSame) return { outcome: { changed: false, machine, latches }, entries: [] };
      if (machine.state === "revoked") throw alreadyRevoked(`the machine ${machine.name}`);
      const epoch = machine.epoch + 1;
      await transaction.setMachine(machine.id, state, epoch);
      if (state === "active" && machine.alive !== null)
        await beginPulse(service, transaction, machine.id, machine.alive.timeoutMs);
      if (state === "revoked") for (const latch of latches) await revokeLatch(transaction, latch.id);
      const after = await transaction.latchesOf(machine.id);
      const at = service.system.nowMs();
      const { id, name } = machine;
      const entry: Entry = { kind: `machine-${request.change}`, at, machine: id, name, epoch, by: request.by };
      return {
        outcome: { changed: true, machine: (await transaction.machine(id)) ?? machine, latches: after },
        entries: [entry],
      };
    },
  );
  adoptState(service, done.machine);
  return finish(service, request, done);
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
    await insist(
      service,
      { subject, stops: request.change !== "unlock" },
      async (transaction): Promise<Recorded<Done>> => {
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
        const entry: Entry = {
          kind: `latch-${request.change}`,
          at,
          machine: machine.id,
          latch: latchId,
          by: request.by,
        };
        return { outcome: { changed: true, machine, latches: [{ ...latch, state }] }, entries: [entry] };
      },
    ),
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
 * Does what follows a change. A repeated change does it again: the first may have been cut short,
 * or have found the disk full.
 */
async function finish(service: Service, request: ChangeRequest, done: Done): Promise<Changed> {
  const scrubbed = request.change === "revoke" ? await service.store.scrub() : true;
  const recorded = await settleChange(service);
  return { ...done, destroyed: !service.store.owes, scrubbed, recorded };
}

/** The error for a change to what was revoked. @param what `the machine NAME`, or `the latch` */
export function alreadyRevoked(what: string): NightlatchError {
  return new NightlatchError("machine/revoked", `${what} was revoked: its keys are destroyed`, {
    meaning: "Nothing was changed, and nothing can bring them back.",
    remedy: "Invite the machine anew, and bind its volumes again.",
  });
}
