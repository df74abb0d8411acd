// @ts-nocheck
import { type ErrorCode, NightlatchError } from "../../core/errors.ts";
import type { System } from "../../system/port.ts";
import type { Conversation } from "../conversation.ts";
import { type ProvedPlan, planByBindings } from "./bindings.ts";
import { type KexecRequest, stageByKexec } from "./kexec.ts";
import type { StagedBoot } from "./staged-boot.ts";

/**
 * What kexec, or this machine, cannot do. Everything else, such as a wrong passphrase or a header
 * that cannot be trusted, is for a person to look at first.
 */
const OBSTACLES: ReadonlySet<ErrorCode> = new Set([
  "kexec/unavailable",
  "kexec/failed",
  "boot/unsupported",
  "reboot/blocked",
  "reboot/slots-full",
]);

interface AutoRequest extends KexecRequest {
  /**
   * False where something was asked for that only a kexec can do: another entry, kernel or command
   * line.
   */
  readonly mayBeOrdinary: boolean;
}

type ChosenWay =
  | { readonly way: "kexec"; readonly boot: StagedBoot }
  | {
      readonly way: "bindings";
      readonly plan: ProvedPlan;
      /** Better ways, and why they cannot be gone. */
      readonly passedOver: readonly NightlatchError[];
    };

/**
 * kexec where it is to be had, and then it is staged; else an ordinary reboot where every volume
 * was seen to open by itself, for which nothing is staged.
 * @throws NightlatchError reboot/no-way, and what stands against a kexec that no other way avoids
 */
export async function chooseWay(system: System, request: AutoRequest, conversation: Conversation): Promise<ChosenWay> {
  const boot = await attempt(() => stageByKexec(system, request, conversation));
  if (!(boot instanceof NightlatchError)) return { way: "kexec", boot };
  if (!OBSTACLES.has(boot.code) || !request.mayBeOrdinary) throw boot;
  const { stateFolder } = request;
  const plan = await attempt(() => planByBindings(system, { stateFolder, signal: conversation.signal }));
  if (!(plan instanceof NightlatchError)) return { way: "bindings", plan, passedOver: [boot] };
  throw noWay(boot, plan);
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
