import { settleCalledOff } from "../../../reboot/called-off.ts";
import { ONESHOT } from "../../../reboot/stage/carrier-oneshot.ts";
import { restartExpiry } from "../../../reboot/start.ts";
import type { ExitStatus } from "../../command.ts";
import { askOn } from "./keys.ts";
import { type RebootInput, type StagingInput, wishOf } from "./options.ts";
import { goWith, LIFE_SECONDS, type StagedBoot, stageWith } from "./staged.ts";

/** Through the firmware, by a boot entry that is good for one boot. Only where it was asked for by name: its keys lie on /boot. */
export async function oneshotReboot(input: RebootInput): Promise<ExitStatus> {
  return goWith(input, await stageByOneshot(input, LIFE_SECONDS));
}

/** @throws NightlatchError oneshot/unavailable, and as planReboot; nothing is staged then */
export async function stageByOneshot(input: StagingInput, lifeSeconds: number): Promise<StagedBoot> {
  const { system, options } = input;
  await settleCalledOff(system);
  const ask = options["key-file"] === undefined ? askOn(input) : null;
  const beforeStaging = () => restartExpiry(system, lifeSeconds);
  return stageWith(input, ONESHOT, { wish: wishOf(options), lifeSeconds, ask, beforeStaging });
}
