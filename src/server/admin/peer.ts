import { readFileSync } from "node:fs";
import type { Socket } from "node:net";
import koffi from "koffi";

/** Who is at the other end of a Unix socket, as the kernel noted it when it connected. */
export interface Peer {
  readonly uid: number;
  readonly gid: number;
  /** Supplementary ones. */
  readonly groups: readonly number[];
}

/** getsockopt(2), socket(7): the values are Linux's, asm-generic/socket.h. */
const getsockopt = koffi
  .load(null)
  .func("int getsockopt(int fd, int level, int name, _Out_ void *value, _Inout_ uint32_t *length)") as unknown as (
  fd: number,
  level: number,
  name: number,
  value: Buffer,
  length: [number],
) => number;
const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
const SO_PEERGROUPS = 59;
const UCRED_BYTES = 12;
/** NGROUPS_MAX is 65536; whoever is in more than this many is told by the first ones. */
const MAX_GROUPS = 1024;

/** Null where the kernel does not tell: such a peer has no rights. */
export function peerOf(socket: Socket): Peer | null {
  const fd = descriptorOf(socket);
  if (fd === null) return null;
  const credentials = Buffer.alloc(UCRED_BYTES); // struct ucred { pid_t pid; uid_t uid; gid_t gid; }
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, credentials, [UCRED_BYTES]) !== 0) return null;
  const groups = Buffer.alloc(MAX_GROUPS * 4);
  const length: [number] = [groups.length];
  const known = getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, length) === 0 ? length[0] : 0;
  return {
    uid: credentials.readUInt32LE(4),
    gid: credentials.readUInt32LE(8),
    groups: Array.from({ length: known / 4 }, (_, index) => groups.readUInt32LE(index * 4)),
  };
}

/** Node keeps the descriptor on the handle and shows it nowhere else. */
function descriptorOf(socket: Socket): number | null {
  const fd = (socket as Socket & { readonly _handle?: { readonly fd?: number } | null })._handle?.fd;
  return typeof fd === "number" && fd >= 0 ? fd : null;
}

/** The group of operators, by its id; null where there is none. */
export function findOperatorGroup(): number | null {
  const line = readFileSync("/etc/group", "utf8")
    .split("\n")
    .find((entry) => entry.startsWith(`${OPERATOR_GROUP}:`));
  const gid = Number(line?.split(":")[2] ?? Number.NaN);
  return Number.isSafeInteger(gid) ? gid : null;
}

const OPERATOR_GROUP = "nightlatch";
