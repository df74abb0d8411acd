import type { InviteRow } from "../rows.ts";

/** What is read of an invite, as its row is named. */
export const INVITE = [
  "id",
  "name",
  "state",
  "wrapped as wrappedKey",
  "created_ms as createdMs",
  "expires_ms as expiresMs",
  "made_at as madeAt",
  "machine as machineId",
  "cell",
  "in_group as group",
] as const;

/** An invite as its columns. */
export function columnsOfInvite(invite: InviteRow) {
  const { id, name, state, wrappedKey, createdMs, expiresMs, madeAt, machineId, cell, group } = invite;
  return {
    id,
    name,
    state,
    wrapped: wrappedKey,
    created_ms: createdMs,
    expires_ms: expiresMs,
    made_at: madeAt,
    machine: machineId,
    cell,
    in_group: group,
  };
}
