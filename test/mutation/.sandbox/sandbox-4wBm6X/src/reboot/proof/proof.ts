// @ts-nocheck
import type { Lack } from "../../boot/initramfs/clevis.ts";
import { NightlatchError } from "../../core/errors.ts";
import type { Opening, PlannedVolume } from "../plan/reboot-plan.ts";

/**
 * Whether a volume opens at the next boot without a person and without a key that is staged for it.
 * `proved`: it was tried just now, and what does it at boot is in place.
 * `untried`: it cannot be tried from here.
 * `fails`: it would not open.
 */
export type Proof =
  | { readonly state: "proved"; readonly why: string }
  | { readonly state: "untried" | "fails"; readonly lack: Lack };

/** It opens by itself, and why. */
export const proved = (why: string): Proof => ({ state: "proved", why });
/** It cannot be tried from here: what that is, and what a person can do. */
export const untried = (what: string, remedy: string): Proof => ({ state: "untried", lack: { what, remedy } });
/** It would not open: what is missing, and what a person can do. */
export const fails = (what: string, remedy: string): Proof => ({ state: "fails", lack: { what, remedy } });

/** How the volume opens by that proof, as the report tells it. */
export function openingOf({ mayFail }: PlannedVolume, proof: Proof): Opening {
  if (proof.state === "proved") return { kind: "itself", why: proof.why, proved: true };
  return { kind: "itself", why: `${proof.lack.what}${mayFail ? "; it may fail" : ""}`, proved: false };
}

/**
 * The error that tells what keeps volumes from opening by themselves, each with its reason. Its
 * remedy is that of the first.
 */
export function notProved(
  volumes: readonly { readonly volume: PlannedVolume; readonly lack: Lack }[],
): NightlatchError {
  const told = volumes.map(({ volume, lack }) => `${volume.name} (${volume.found.device}): ${lack.what}`);
  return new NightlatchError("reboot/not-proved", `not proved to open by itself at the next boot: ${told.join("; ")}`, {
    meaning: "Somebody would have to type a passphrase. Nothing was changed.",
    ...(volumes[0] === undefined ? {} : { remedy: volumes[0].lack.remedy.replaceAll("\n", "; then: ") }),
  });
}
