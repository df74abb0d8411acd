// @ts-nocheck
import { NightlatchError } from "../../../core/errors.ts";
import type { Loader } from "../loader.ts";
import { startedByStub } from "../systemd-boot/bootctl.ts";

/**
 * A unified kernel image that no known loader started. Which image comes next is refused, not
 * guessed.
 */
export const unifiedImage: Loader = {
  name: "unified image",

  hasStarted: startedByStub,

  listConfigurations: async () => [],

  async readEntry() {
    throw new NightlatchError(
      "boot/unsupported",
      "a unified kernel image was started here by no boot loader that is known, perhaps by the firmware itself",
      {
        meaning: "Which image the next boot takes cannot be told from here. Nothing was changed.",
        remedy: "Name it: --kernel, with the path of the image on the EFI system partition (see: bootctl status).",
      },
    );
  },
};
