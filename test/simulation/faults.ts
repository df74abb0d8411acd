/** Faults that are planted in the server, to show that each of them is found. */
import type { Service } from "../../src/server/service/service.ts";
import type { Transaction } from "../../src/server/store/port.ts";
import type { LyingDisk } from "./disk.ts";
import type { Invariant } from "./oracle.ts";

/** A fault, and the invariants one of which it breaks. */
export interface Fault {
  readonly name: string;
  readonly breaks: readonly Invariant[];
  /** The service with the fault in it. It is asked at each start. */
  readonly service?: (service: Service) => Service;
  /** A transaction with the fault in it. */
  readonly transaction?: (transaction: Transaction) => Transaction;
  readonly disk?: LyingDisk;
}
