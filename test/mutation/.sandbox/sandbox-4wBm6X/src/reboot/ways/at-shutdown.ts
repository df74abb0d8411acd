// @ts-nocheck
import { DEFAULT_ENTRY } from "../../boot/entry/entries.ts";
import { NightlatchError } from "../../core/errors.ts";
import { isRebooting } from "../../host/shutdown.ts";
import type { System } from "../../system/port.ts";
import type { Conversation } from "../conversation.ts";
import { markStaged, wantsFirmwareSetup } from "../default-handler.ts";
import type { Announcing } from "../lease.ts";
import type { RebootPlan } from "../plan/reboot-plan.ts";
import { stageForKexec } from "./kexec.ts";
import { cancelStaged } from "./staged-boot.ts";

/** How a shutdown that is under way goes on. */
type AtShutdown =
  /** It is no reboot. */
  | { readonly goesOn: "down" }
  /** It was a reboot, and was called off meanwhile: what was staged for it is cancelled. */
  | { readonly goesOn: "called-off" }
  | { readonly goesOn: "into-firmware-setup" }
  | {
      readonly goesOn: "by-kexec";
      readonly plan: RebootPlan;
      /** The servers that are to be told of the boot. */
      readonly announcing: Announcing;
    }
  /** Something speaks against a kexec. */
  | { readonly goesOn: "through-firmware"; readonly why: NightlatchError };

/**
 * Stages the reboot that is under way, with the remembered key or what a binding gives: nobody is
 * asked. Starts no unit: a job queued now would be at odds with the shutdown's own.
 */
export async function stageAtShutdown(
  system: System,
  stateFolder: string,
  conversation: Omit<Conversation, "askSecret">,
): Promise<AtShutdown> {
  if (!(await isRebooting(system))) return { goesOn: "down" };
  if (await wantsFirmwareSetup(system)) return { goesOn: "into-firmware-setup" };
  try {
    const request = { stateFolder, entry: DEFAULT_ENTRY, beforeStaging: async () => {} };
    const { plan, announcing } = await stageForKexec(system, request, { ...conversation, askSecret: null });
    if (!(await isRebooting(system))) {
      await cancelStaged(system, stateFolder, conversation);
      return { goesOn: "called-off" };
    }
    await markStaged(system);
    return { goesOn: "by-kexec", plan, announcing };
  } catch (error) {
    if (!(error instanceof NightlatchError)) throw error;
    return { goesOn: "through-firmware", why: error };
  }
}
