// @ts-nocheck
import type { Peer } from "./peer.ts";

/**
 * What somebody at the admin socket may do. An operator can stop every release, but can destroy
 * nothing.
 */
export type Role = "admin" | "operator";

/** The role of a peer; null where it may do nothing at all. */
export function roleOf(
  peer: Peer | null,
  server: { readonly uid: number; readonly operatorGroup: number | null },
): Role | null {
  if (peer === null) return null;
  if (peer.uid === 0 || peer.uid === server.uid) return "admin";
  const { operatorGroup } = server;
  if (operatorGroup === null) return null;
  return peer.gid === operatorGroup || peer.groups.includes(operatorGroup) ? "operator" : null;
}
