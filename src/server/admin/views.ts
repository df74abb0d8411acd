import type { InviteRow, LatchRow, MachineRow } from "../store/port.ts";

/** Rows as docs/format/admin.md shows them: no wrapped key, no nonce, times as text. */
export function machineView(machine: MachineRow): Record<string, unknown> {
  const { id, name, state, epoch, enrolledMs } = machine;
  return { id, name, state, epoch, enrolled: timeText(enrolledMs) };
}

export function latchView(latch: LatchRow): Record<string, unknown> {
  const { id, volume, state, epoch, createdMs } = latch;
  return { id, volume, state, epoch, created: timeText(createdMs) };
}

export function inviteView(invite: InviteRow, nowMs: number): Record<string, unknown> {
  const { id, name, createdMs, expiresMs } = invite;
  return { id, name, created: timeText(createdMs), expires: timeText(expiresMs), expired: nowMs >= expiresMs };
}

/** RFC 3339, UTC. */
export function timeText(atMs: number): string {
  return new Date(atMs).toISOString();
}
