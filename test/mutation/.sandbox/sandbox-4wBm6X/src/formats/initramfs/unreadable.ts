// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";

/**
 * Makes the error for an initramfs that is not as the kernel wants it. `what` ends the sentence.
 */
export function unreadable(what: string): NightlatchError {
  return new NightlatchError("initramfs/malformed", `the initramfs cannot be read: ${what}`, {
    meaning: "The kernel could not unpack it either. Nothing was changed.",
    remedy: "Make it anew with its own generator (update-initramfs -u, dracut --force, mkinitcpio -P).",
  });
}
