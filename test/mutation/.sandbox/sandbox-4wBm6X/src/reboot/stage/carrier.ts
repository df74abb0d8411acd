// @ts-nocheck
import type { NightlatchError } from "../../core/errors.ts";
import type { Lock, System } from "../../system/port.ts";
import type { RebootPlan } from "../plan/reboot-plan.ts";
import type { StagingContext } from "./disposable.ts";

/** What staging a boot and cancelling it may do. */
export type StagePower = Pick<
  System,
  | "run"
  | "lock"
  | "stat"
  | "lstat"
  | "realPath"
  | "freeBytes"
  | "readFile"
  | "readFileIfPresent"
  | "readAt"
  | "writeFile"
  | "removeFile"
  | "makeDirectory"
  | "listDirectory"
  | "random"
>;

/** How the keys of a staged boot reach it. */
export interface Carrier {
  readonly via: "kexec" | "oneshot";
  /**
   * Finds out whether it can carry that boot. Nothing is changed.
   * @throws NightlatchError where it cannot
   */
  prepare(system: StagePower, plan: RebootPlan): Promise<PreparedCarry>;
  /**
   * An orderly shutdown into what was loaded. Returns when it is under way.
   * @throws NightlatchError reboot/blocked
   */
  start(system: StagePower): Promise<void>;
}

/** A carrier that has found that it can carry this boot. */
export interface PreparedCarry {
  /** What a person must know before keys are made, a paragraph each. */
  readonly warnings: readonly string[];
  /**
   * What a person has to agree to before that; null where no key leaves the memory in the clear.
   */
  readonly question: string | null;
  /** What carries it, and where the keys will be, in a few words. */
  readonly words: string;
  /** The same for a program; docs/json.md. */
  readonly facts: Readonly<Record<string, unknown>>;
  /**
   * From now on the next boot gets the keys.
   * @param overlay holds them; the caller wipes it
   * @param lock held by every program whose late end would harm
   * @throws NightlatchError; what was done is there for `undo`
   */
  load(system: StagePower, overlay: Buffer, context: StagingContext, lock: Lock): Promise<void>;
  /**
   * Undoes whatever `load` did.
   * @returns what could not be undone, and is harmless without its keyslots
   * @throws NightlatchError
   */
  undo(system: StagePower): Promise<readonly NightlatchError[]>;
}
