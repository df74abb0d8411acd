import { identityThumbprint } from "../../../formats/own/enrolment.ts";
import { buildSessionAnswer, makeSessionHalf, type SessionRequest, sessionKey } from "../../../formats/own/session.ts";
import { take } from "../../policy/pace.ts";
import type { MachineRow } from "../../store/rows.ts";
import { bootedIn } from "../leases.ts";
import type { Service } from "../service.ts";

/** Why a machine gets no session. `session/stale`: the challenge is none that is good now. */
export type SessionRefusal =
  | "machine/unknown"
  | "machine/locked"
  | "machine/revoked"
  | "session/stale"
  | "session/too-many"
  | "session/other-server";

/** A request for a session, verified as far as its own signature goes, and its bytes. */
interface Received {
  readonly request: SessionRequest;
  readonly body: Uint8Array;
  readonly from: string;
}

const TAG_BYTES = 4;

/** Gives the challenge for a machine's next session. One that is not known gets one too. */
export function sessionChallenge({ sessionChallenges, pulses }: Service, machineId: string): string {
  const number = pulses.find(machineId);
  return sessionChallenges.make(machineId, number === null ? 0 : pulses.sessionsOf(number));
}

/**
 * Opens a session: `POST /machine/{machine}/session` of docs/format/heartbeat.md. It is no sign of
 * life. Nothing of it is recorded, but a refusal is.
 * @throws NightlatchError store/*, enrolment/malformed where the machine's key is none
 */
export async function openHeartbeatSession(
  service: Service,
  received: Received,
): Promise<{ readonly answer: Buffer } | { readonly refused: SessionRefusal }> {
  const { request, body, from } = received;
  const { machine, cameUpIn } = await service.store.transact(async (transaction) => {
    const machine = await transaction.machine(request.machine);
    return { machine, cameUpIn: machine === null ? null : await bootedIn(transaction, machine) };
  });
  const why = machine === null ? "machine/unknown" : whyNotOpen(service, machine, request);
  if (why !== null) return refuse(service, received, why, machine?.id);
  const half = makeSessionHalf();
  const number = service.pulses.add(request.machine);
  const nowMs = service.system.monotonicMs();
  const pace = take(service.pulses.paceOf(number), nowMs);
  if (pace === null) return refuse(service, received, "session/too-many", request.machine);
  service.pulses.setPace(number, pace);
  const session = service.pulses.nameSession(number, service.system.random(TAG_BYTES));
  const answer = buildSessionAnswer(service.identity, body, { session, key: half.key });
  const server = identityThumbprint(service.identity);
  const key = sessionKey(half, { peer: request.key, request: body, answer, machine: request.machine, server });
  service.pulses.open(number, session, key, from);
  if (cameUpIn === null) service.cameUp.delete(number);
  else service.cameUp.set(number, cameUpIn);
  key.fill(0);
  return { answer };
}

function whyNotOpen(
  service: Service,
  machine: MachineRow,
  { challenge, server }: SessionRequest,
): SessionRefusal | null {
  const { pulses, sessionChallenges, identity } = service;
  if (server !== identityThumbprint(identity)) return "session/other-server";
  const number = pulses.find(machine.id);
  if (!sessionChallenges.isGood(challenge, machine.id, number === null ? 0 : pulses.sessionsOf(number)))
    return "session/stale";
  return machine.state === "active" ? null : `machine/${machine.state}`;
}

async function refuse(service: Service, { from }: Received, reason: SessionRefusal, subject?: string) {
  const refused = { refused: reason };
  await service.queue.submit(async () => {
    const refusal = subject === undefined ? { reason } : { reason, subject };
    const entry = service.refusals.count(refusal, from, service.system.nowMs());
    return { outcome: null, entries: entry === null ? [] : [entry] };
  });
  return refused;
}
