// @ts-nocheck
import { loadKexec, unloadKexec } from "../../boot/kexec.ts";
import { startKexec } from "../start.ts";
import type { Carrier } from "./carrier.ts";

const NOT_USED_UP =
  "The boot loader was told to boot this entry once. A kexec goes around the boot loader, so the next boot through the firmware takes it once more.";

/** Through memory: nothing is written to a disk. */
export const KEXEC: Carrier = {
  via: "kexec",
  prepare: async (_, { entry, kernel, initrds, cmdline }) => ({
    warnings: entry.once ? [NOT_USED_UP] : [],
    question: null,
    words: "no key on any disk",
    facts: {},
    load: (system, overlay, _, lock) => loadKexec(system, { kernel, initrds, overlay, cmdline }, lock),
    undo: async (system) => {
      await unloadKexec(system);
      return [];
    },
  }),
  start: startKexec,
};
