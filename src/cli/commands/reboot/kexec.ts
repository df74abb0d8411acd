import type { EntryWish } from "../../../boot/entry/entries.ts";
import { whyNoKexec } from "../../../boot/kexec.ts";
import { NightlatchError } from "../../../core/errors.ts";
import type { Secret } from "../../../core/secret.ts";
import { settleCalledOff } from "../../../reboot/called-off.ts";
import type { PlannedVolume } from "../../../reboot/plan/reboot-plan.ts";
import { KEXEC } from "../../../reboot/stage/carrier-kexec.ts";
import { restartExpiry } from "../../../reboot/start.ts";
import type { ExitStatus } from "../../command.ts";
import { askOn } from "./keys.ts";
import { type RebootInput, type StagingInput, wishOf } from "./options.ts";
import { goWith, LIFE_SECONDS, type StagedBoot, stageWith } from "./staged.ts";

export async function kexecReboot(input: RebootInput): Promise<ExitStatus> {
  return goWith(input, await stageByKexec(input));
}

/** @throws NightlatchError where a kexec would not come back by itself, or is not to be had; nothing is staged then */
export async function stageByKexec(input: StagingInput): Promise<StagedBoot> {
  const { system, options } = input;
  await settleCalledOff(system);
  const ask = options["key-file"] === undefined ? askOn(input) : null;
  return prepare(input, wishOf(options), ask, () => restartExpiry(system));
}

/**
 * @param ask null where nobody can be asked
 * @param beforeStaging the last thing before headers are changed
 */
export async function prepare(
  input: StagingInput,
  wish: EntryWish,
  ask: ((volume: PlannedVolume) => Promise<Secret>) | null,
  beforeStaging: () => Promise<void>,
): Promise<StagedBoot> {
  const obstacle = await whyNoKexec(input.system);
  if (obstacle !== null) throw noKexec(obstacle);
  return stageWith(input, KEXEC, { wish, lifeSeconds: LIFE_SECONDS, ask, beforeStaging });
}

function noKexec(obstacle: string): NightlatchError {
  return new NightlatchError("kexec/unavailable", `kexec cannot be used: ${obstacle}`, {
    meaning: "Nothing was changed.",
    remedy:
      "Where every volume opens by itself: --via bindings. Where no new kernel waits: --via soft, which keeps the volumes open. " +
      "With a key on an unencrypted /boot meanwhile: --via oneshot. Otherwise reboot and type the passphrase.",
  });
}
