import type { KeyObject } from "node:crypto";
import type { NightlatchError } from "../../core/errors.ts";
import type { System } from "../../system/port.ts";
import type { FloodTally } from "../audit/floods.ts";
import type { RefusalTally } from "../audit/refusals.ts";
import type { BatchExchange } from "../exchange/batch.ts";
import type { Cells } from "../store/keys/cells.ts";
import type { Store } from "../store/port.ts";
import type { Asks } from "./memory/asks.ts";
import type { Challenges } from "./memory/challenges.ts";
import type { Days } from "./memory/days.ts";
import type { Halts } from "./memory/halts.ts";
import type { Notices } from "./memory/notices.ts";
import type { Paces } from "./memory/paces.ts";
import type { Pulses } from "./memory/pulses.ts";
import type { Sites } from "./memory/sites.ts";
import type { CommitQueue } from "./queue.ts";

/** What every act of the server needs. It is made once, at the start. */
export interface Service {
  readonly system: Pick<System, "nowMs" | "monotonicMs" | "sleep" | "random">;
  readonly store: Store;
  readonly storeId: string;
  readonly queue: CommitQueue;
  /** What the keys of latches and invites are wrapped with. */
  readonly cells: Cells;
  readonly identity: KeyObject;
  /** What the logs of others are cosigned with. */
  readonly witnessKey: KeyObject;
  /** Why a witness of this log did not sign it when it was asked last, by its name. */
  readonly witnessFailures: Map<string, NightlatchError>;
  readonly exchange: BatchExchange;
  readonly refusals: RefusalTally;
  readonly paces: Paces;
  readonly days: Days;
  readonly asks: Asks;
  readonly notices: Notices;
  readonly floods: FloodTally;
  readonly halts: Halts;
  readonly challenges: Challenges;
  readonly sessionChallenges: Challenges;
  readonly pulses: Pulses;
  readonly sites: Sites;
  /**
   * By the numbers of machines whose session was opened after a release in their lease: the number
   * of that lease, which such a session's heartbeats end.
   */
  readonly cameUp: Map<number, number>;
}
