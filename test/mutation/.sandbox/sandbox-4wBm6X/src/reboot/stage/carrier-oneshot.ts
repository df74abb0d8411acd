// @ts-nocheck
import { type PreparedOneshot, unavailable } from "../../boot/oneshot/loader.ts";
import { disarmOneshot, prepareOneshot } from "../../boot/oneshot/oneshot.ts";
import type { RebootPlan } from "../plan/reboot-plan.ts";
import { startOrdinaryReboot } from "../start.ts";
import type { Carrier } from "./carrier.ts";

/**
 * A one-time boot entry: through the firmware, with the keys in a file on the boot loader's file
 * system. Never chosen by itself.
 */
export const ONESHOT: Carrier = {
  via: "oneshot",
  async prepare(system, plan) {
    const { entry, cmdline, initrds, volumes } = plan;
    if (!volumes.some(({ opening }) => opening.kind === "disposable"))
      throw unavailable("every volume opens without a key of ours", "Use --via bindings, which proves it first.");
    const initrdBytes = initrds.reduce((sum, initrd) => sum + initrd.length, 0);
    const prepared = await prepareOneshot(system, { entry, cmdline, initrdBytes });
    const { loader, overlay, fileSystem } = prepared;
    const encrypted = fileSystem.isEncrypted;
    const whether = encrypted ? "encrypted" : "NOT encrypted";
    return {
      warnings: [warning(prepared, plan)],
      question: encrypted ? null : `Write these keys to ${overlay}, which is not encrypted?`,
      words: `keys in ${overlay} (${fileSystem.type} on ${fileSystem.source}, ${whether}) until the next boot is up`,
      facts: {
        oneshot: { loader, overlay, fileSystem: { type: fileSystem.type, device: fileSystem.source, encrypted } },
      },
      load: (_, bytes, { bootId, expires }, lock) => prepared.arm(bytes, { boot: bootId, expires }, lock),
      undo: async () => (await disarmOneshot(system)).failures,
    };
  },
  start: startOrdinaryReboot,
};

function warning({ loader, overlay, fileSystem }: PreparedOneshot, { volumes }: RebootPlan): string {
  const names = volumes.flatMap(({ name, opening }) => (opening.kind === "disposable" ? [name] : [])).join(", ");
  if (fileSystem.isEncrypted) {
    return (
      `The keys of ${names} will lie in ${overlay}, on an encrypted volume, so not in the clear on any disk. ` +
      `${loader} opens that volume before anything else and asks for its passphrase itself: somebody has to type it there.`
    );
  }
  return (
    `The keys of ${names} will lie in ${overlay}, which is NOT encrypted, until the next boot has come up, this is taken back, or, while the machine runs, it expires. ` +
    `Whoever takes or copies the disk in that time can open these volumes, and the copy for ever: a thief; with a rented machine its host, ` +
    `and its snapshots and backups. No TPM guards the keys: the file is all that it takes. Afterwards the keyslots are gone, and what is left of the keys opens this disk no more.`
  );
}
