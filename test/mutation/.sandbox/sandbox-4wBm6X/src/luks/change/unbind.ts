// @ts-nocheck
import type { ChangeOperation, Removal } from "../../formats/own/intent.ts";
import { type Change, readHeader } from "./change.ts";
import { closeOrWarn, declare } from "./declaration.ts";
import type { ChangePower } from "./ledger.ts";
import { carryOut, requireAnotherWay } from "./removal.ts";

/**
 * Removes tokens and the keyslots that they open. Cut short, the next change carries it out.
 * @param removes what planRemovals found to be certain; of recovery keys, what planRecoveryRemovals
 *   found
 * @throws NightlatchError luks/last-way, luks/harmed, system/*, file/*
 */
export async function unbindVolume(
  system: ChangePower,
  change: Change,
  removes: readonly Removal[],
  operation: Extract<ChangeOperation, "unbind" | "recovery-remove"> = "unbind",
): Promise<void> {
  requireAnotherWay(change, removes);
  const header = await readHeader(system, change);
  const declared = await declare(system, change, header, { operation, adds: null, removes });
  for (const removal of removes) await carryOut(system, change, removal);
  await closeOrWarn(system, change, declared);
}
