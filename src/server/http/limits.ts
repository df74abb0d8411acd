import type { AdmissionLimits } from "./admission.ts";
import type { PlaceLimits } from "./places.ts";

/** How long strangers may take. */
export interface Patience {
  /** From the connection, or a request's first byte, to the end of its head. */
  readonly headersTimeoutMs: number;
  /** From there to the end of its body. */
  readonly requestTimeoutMs: number;
  /** Between an answer and the next request. */
  readonly keepAliveMs: number;
}

/** What strangers may take of this process. */
export interface Limits extends Patience, PlaceLimits, AdmissionLimits {
  /** How many descriptors may wait for a turn to become connections. */
  readonly arrivals: number;
  /** How often the connections are looked through for late ones. */
  readonly checkMs: number;
  /** Of requests that come in pieces, of all connections together. */
  readonly memoryBytes: number;
  /**
   * How much of one turn of the event loop reading may take, and what was put off as much again.
   */
  readonly turnMs: number;
}

const CONNECTIONS = 4096;
/** For the store, its folder, the log and the operators' door. */
const RESERVED_DESCRIPTORS = 128;

/**
 * The limits of a process.
 * @param descriptors how many it may have open: strangers never have the last ones
 */
export function limitsWithin(descriptors: number): Limits {
  const free = Math.max(16, descriptors - RESERVED_DESCRIPTORS);
  const connections = Math.min(CONNECTIONS, Math.floor((free * 4) / 5));
  return {
    connections,
    connectionsOfOneGroup: Math.ceil(connections / 2),
    connectionsOfOneLine: Math.ceil(connections / 4),
    arrivals: Math.ceil(connections / 4),
    operations: 256,
    waiting: 2048,
    memoryBytes: 32 << 20,
    turnMs: 10,
    headersTimeoutMs: 10_000,
    requestTimeoutMs: 15_000,
    keepAliveMs: 10_000,
    checkMs: 1_000,
  };
}
