// @ts-nocheck
import type { System } from "../../system/port.ts";
import { type Conversation, requireNotCancelled } from "../conversation.ts";
import { requireNoHindrance } from "../hindrance.ts";
import { startAnnounced } from "../lease.ts";
import { cancelStaged, type StagedBoot } from "./staged-boot.ts";

/**
 * Reboots into what is staged. A shutdown that does not begin leaves nothing staged.
 * @throws NightlatchError usage/cancelled, reboot/not-now, reboot/blocked, reboot/no-lease
 */
export async function startStaged(
  system: System,
  { carrier, announcing }: StagedBoot,
  stateFolder: string,
  conversation: Pick<Conversation, "hint" | "signal">,
): Promise<void> {
  try {
    requireNotCancelled(conversation);
    await requireNoHindrance(system);
    await startAnnounced(system, stateFolder, announcing, conversation.signal, () => carrier.start(system));
  } catch (error) {
    await cancelStaged(system, stateFolder, conversation);
    throw error;
  }
}
