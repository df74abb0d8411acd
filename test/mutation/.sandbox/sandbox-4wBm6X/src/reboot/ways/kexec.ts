// @ts-nocheck
import type { EntryOptions } from "../../boot/entry/entries.ts";
import { whyNoKexec } from "../../boot/kexec.ts";
import { NightlatchError } from "../../core/errors.ts";
import type { System } from "../../system/port.ts";
import { settleCalledOff } from "../called-off.ts";
import { LIFE_SECONDS, restartExpiry } from "../clean-up-units.ts";
import type { Conversation } from "../conversation.ts";
import { KEXEC } from "../stage/carrier-kexec.ts";
import { type StagedBoot, type StagingRequest, stageNextBoot } from "./staged-boot.ts";

/** Which boot to stage. */
export interface KexecRequest {
  readonly stateFolder: string;
  readonly entry: EntryOptions;
}

/**
 * Stages the next boot in the running kernel's memory.
 * @throws NightlatchError where a kexec would not come back by itself, or is not to be had; nothing
 * is staged then
 */
export async function stageByKexec(
  system: System,
  request: KexecRequest,
  conversation: Conversation,
): Promise<StagedBoot> {
  await settleCalledOff(system);
  return await stageForKexec(system, { ...request, beforeStaging: () => restartExpiry(system) }, conversation);
}

/**
 * The same, and starts no unit but what the request does before staging.
 * @throws as stageByKexec
 */
export async function stageForKexec(
  system: System,
  request: KexecRequest & Pick<StagingRequest, "beforeStaging">,
  conversation: Conversation,
): Promise<StagedBoot> {
  const obstacle = await whyNoKexec(system);
  if (obstacle !== null) throw noKexec(obstacle);
  return await stageNextBoot(system, KEXEC, { ...request, lifeSeconds: LIFE_SECONDS }, conversation);
}

function noKexec(obstacle: string): NightlatchError {
  return new NightlatchError("kexec/unavailable", `kexec cannot be used: ${obstacle}`, {
    meaning: "Nothing was changed.",
    remedy:
      "Where every volume opens by itself: --via bindings. Where no new kernel waits: --via soft, which keeps the volumes open. " +
      "With a key on an unencrypted /boot meanwhile: --via oneshot. Otherwise reboot and type the passphrase.",
  });
}
