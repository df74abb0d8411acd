import type { EntryOptions } from "../../../boot/entry/entries.ts";
import { whyNoKexec } from "../../../boot/kexec.ts";
import { NightlatchError } from "../../../core/errors.ts";
import type { Secret } from "../../../core/secret.ts";
import { settleCalledOff } from "../../../reboot/called-off.ts";
import { restartExpiry } from "../../../reboot/go.ts";
import type { PlannedVolume } from "../../../reboot/plan/planned.ts";
import { KEXEC } from "../../../reboot/stage/carrier-kexec.ts";
import type { CommandInput, ExitStatus } from "../../command.ts";
import { askOn } from "./keys.ts";
import { goWith, LIFE_SECONDS, type StagedBoot, stageWith, wishOf } from "./staged.ts";

export async function kexecReboot(input: CommandInput): Promise<ExitStatus> {
  return goWith(input, await stageByKexec(input));
}

/** @throws NightlatchError where a kexec would not come back by itself, or is not to be had; nothing is staged then */
export async function stageByKexec(input: CommandInput): Promise<StagedBoot> {
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
  input: CommandInput,
  wish: EntryOptions,
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
