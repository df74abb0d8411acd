// @ts-nocheck
import type { System } from "../../system/port.ts";
import { settleCalledOff } from "../called-off.ts";
import { restartExpiry } from "../clean-up-units.ts";
import type { Conversation } from "../conversation.ts";
import { ONESHOT } from "../stage/carrier-oneshot.ts";
import { type StagedBoot, type StagingRequest, stageNextBoot } from "./staged-boot.ts";

/**
 * Stages the next boot in a boot entry that is good for one boot, which goes through the firmware.
 * Only where it was asked for by name: its keys lie on /boot.
 * @throws NightlatchError oneshot/unavailable, and as planReboot; nothing is staged then
 */
export async function stageByOneshot(
  system: System,
  request: Omit<StagingRequest, "beforeStaging">,
  conversation: Conversation,
): Promise<StagedBoot> {
  await settleCalledOff(system);
  const beforeStaging = () => restartExpiry(system, request.lifeSeconds);
  return await stageNextBoot(system, ONESHOT, { ...request, beforeStaging }, conversation);
}
