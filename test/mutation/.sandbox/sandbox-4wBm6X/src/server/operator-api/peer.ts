// @ts-nocheck
import type { Socket } from "node:net";
import { libcFunction } from "../../system/native/native.ts";
import type { System } from "../../system/port.ts";
import { descriptorOf } from "../../system/unix/descriptor.ts";
import { unixPeerOf } from "../../system/unix/peer.ts";

/** Who is at the other end of a Unix socket, as the kernel noted it when it connected. */
export interface Peer {
  readonly uid: number;
  readonly gid: number;
  /** Supplementary ones. */
  readonly groups: readonly number[];
}

const SOL_SOCKET = 1;
const SO_PEERGROUPS = 59; // socket(7); the value is Linux's, asm-generic/socket.h
/** Whoever is in more groups than this counts as being in none of them. */
const MAX_GROUPS = 1024;

/** Null where the kernel does not tell: such a peer has no rights. */
export function peerOf(socket: Socket): Peer | null {
  const fd = descriptorOf(socket);
  const peer = fd === null ? null : unixPeerOf(fd);
  return fd === null || peer === null ? null : { uid: peer.uid, gid: peer.gid, groups: groupsOf(fd) };
}

function groupsOf(fd: number): number[] {
  const getsockopt = libcFunction("int getsockopt(int, int, int, void *, void *)");
  const groups = Buffer.alloc(MAX_GROUPS * 4);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(groups.length);
  if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, length) !== 0) return [];
  return Array.from({ length: length.readUInt32LE() / 4 }, (_, index) => groups.readUInt32LE(index * 4));
}

/** The group of operators, by its id; null where there is none. @throws NightlatchError file/* */
export async function findOperatorGroup(system: Pick<System, "readFile">): Promise<number | null> {
  const line = (await system.readFile("/etc/group", GROUPS_LIMIT_BYTES))
    .toString("utf8")
    .split("\n")
    .find((entry) => entry.startsWith(`${OPERATOR_GROUP}:`));
  const gid = Number(line?.split(":")[2] ?? Number.NaN);
  return Number.isSafeInteger(gid) ? gid : null;
}

const OPERATOR_GROUP = "nightlatch";
const GROUPS_LIMIT_BYTES = 4 << 20;
