// @ts-nocheck
import type { Server, Socket } from "node:net";

/**
 * Gives the file descriptor of a socket; null where it is closed. Node has no name for it in its
 * API: it keeps the descriptor on the handle, which has had this member since it exists.
 */
export function descriptorOf(socket: Socket | Server): number | null {
  const { _handle: handle } = socket as (Socket | Server) & { readonly _handle?: { readonly fd?: unknown } | null };
  const fd = handle?.fd;
  return typeof fd === "number" && fd >= 0 ? fd : null;
}
