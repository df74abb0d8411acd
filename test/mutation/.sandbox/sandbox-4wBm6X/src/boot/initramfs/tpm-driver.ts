// @ts-nocheck
import type { System } from "../../system/port.ts";
import type { EarlyLack } from "./clevis.ts";
import type { InitramfsFacts } from "./inspect.ts";
import { holdsModule } from "./kernel-module.ts";
import { addDriver, type Mending } from "./mending.ts";

const CHIPS = "/sys/class/tpm";

/**
 * Tells why an initramfs cannot talk to this machine's TPM: it does not hold the chip's driver.
 * Null where it does, where the driver is built into the kernel, and where the running system has
 * no chip to tell it by.
 * @throws NightlatchError file/*, system/*
 */
export async function whyNoTpmDriver(
  system: Pick<System, "run" | "realPath" | "listDirectory">,
  facts: Pick<InitramfsFacts, "has">,
  release: string | null,
  mending: Mending,
): Promise<EarlyLack | null> {
  // Stock clevis asks the first, behind /dev/tpmrm0.
  if (!(await system.listDirectory(CHIPS)).includes("tpm0")) return null;
  const module = await system.realPath(`${CHIPS}/tpm0/device/driver/module`);
  if (module === null) return null; // built in
  const driver = module.slice(module.lastIndexOf("/") + 1);
  if (await holdsModule(system, facts, release, driver)) return null;
  return {
    code: "driver",
    what: `the initramfs holds no driver of the machine's TPM (${driver})`,
    ...addDriver(mending, [driver], "tpm-driver"),
  };
}
