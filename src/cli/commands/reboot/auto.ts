import { type ErrorCode, NightlatchError } from "../../../core/errors.ts";
import type { RebootPlan } from "../../../reboot/plan/reboot-plan.ts";
import type { ExitStatus } from "../../command.ts";
import { goByBindings, planByBindings } from "./bindings.ts";
import { stageByKexec } from "./kexec.ts";
import type { RebootInput } from "./options.ts";
import { goWith } from "./staged.ts";

/**
 * What kexec, or this machine, cannot do. Everything else, such as a wrong passphrase or a header that cannot be trusted, is for a
 * person to look at first.
 */
const OBSTACLES: ReadonlySet<ErrorCode> = new Set([
  "kexec/unavailable",
  "kexec/failed",
  "boot/unsupported",
  "reboot/blocked",
  "reboot/slots-full",
]);

/** kexec where it is to be had; else an ordinary reboot where every volume was seen to open by itself; else nothing. */
export async function autoReboot(input: RebootInput): Promise<ExitStatus> {
  const staged = await attempt(() => stageByKexec(input));
  if (!(staged instanceof NightlatchError)) return goWith(input, staged);
  if (!OBSTACLES.has(staged.code)) throw staged;
  const plan: RebootPlan | NightlatchError = await attempt(() => planByBindings(input));
  if (!(plan instanceof NightlatchError)) return goByBindings(input, plan, [staged]);
  // --kernel and its like are for a kexec alone.
  throw plan.code === "usage/wrong" ? staged : noWay(staged, plan);
}

async function attempt<T>(act: () => Promise<T>): Promise<T | NightlatchError> {
  try {
    return await act();
  } catch (error) {
    if (error instanceof NightlatchError) return error;
    throw error;
  }
}

function noWay(kexec: NightlatchError, bindings: NightlatchError): NightlatchError {
  const why = (error: NightlatchError) =>
    [`${error.message} [${error.code}]`, error.remedy].filter(Boolean).join("\n           ");
  return new NightlatchError(
    "reboot/no-way",
    `no way is known by which the machine would come back by itself\n  kexec    ${why(kexec)}\n  bindings ${why(bindings)}`,
    {
      meaning: "Nothing was changed.",
      remedy: `What is never chosen by itself: ${BY_HAND.join("; ")}.`,
    },
  );
}

/** Ways that somebody may choose who knows what they mean. */
const BY_HAND = [
  "--via soft, which keeps the running kernel and the open volumes",
  "--via oneshot, whose keys lie on an unencrypted /boot until the next boot is up",
];
