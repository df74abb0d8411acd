import { loadKexec, unloadKexec } from "../boot/kexec.ts";
import type { Carrier } from "./carrier.ts";
import { startKexec } from "./go.ts";

/** Through memory: nothing is written to a disk. */
export const KEXEC: Carrier = {
  via: "kexec",
  prepare: async (_, { kernel, initrds, cmdline }) => ({
    warnings: [],
    words: "no key on any disk",
    facts: {},
    load: (power, overlay, _, lock) => loadKexec(power, { kernel, initrds, overlay, cmdline }, lock),
    unload: async (power) => {
      await unloadKexec(power);
      return [];
    },
  }),
  start: startKexec,
};
