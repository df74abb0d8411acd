import { isError } from "../../core/errors.ts";
import type { System } from "../../system/port.ts";
import type { EarlyLack } from "./clevis.ts";
import type { InitramfsFacts } from "./inspect.ts";
import { holdsModule } from "./kernel-module.ts";
import { addDriver, type Mending } from "./mending.ts";

const INTERFACES = "/sys/class/net";

/**
 * Tells why an initramfs cannot bring a network up on this machine: it holds the driver of no
 * network card that carries a signal now. Null where it holds one, where a card's driver is built
 * into the kernel, and where there is no card to tell it by.
 * @throws NightlatchError file/*, system/*
 */
export async function whyNoDriver(
  system: Pick<System, "run" | "readFile" | "realPath" | "listDirectory">,
  facts: Pick<InitramfsFacts, "has">,
  release: string | null,
  mending: Mending,
): Promise<EarlyLack | null> {
  const drivers: string[] = [];
  for (const name of await system.listDirectory(INTERFACES)) {
    if (!(await isUp(system, name))) continue;
    const device = await system.realPath(`${INTERFACES}/${name}/device/driver`);
    if (device === null) continue; // a bridge, the loopback
    const driver = await system.realPath(`${INTERFACES}/${name}/device/driver/module`);
    if (driver === null) return null; // built in
    drivers.push(driver.slice(driver.lastIndexOf("/") + 1));
  }
  const [first] = drivers;
  if (first === undefined) return null;
  for (const driver of drivers) if (await holdsModule(system, facts, release, driver)) return null;
  return {
    code: "driver",
    what: `the initramfs holds no driver of a network card that is in use (${drivers.join(", ")})`,
    ...addDriver(mending, first, "driver"),
  };
}

async function isUp(system: Pick<System, "readFile">, name: string): Promise<boolean> {
  try {
    return (await system.readFile(`${INTERFACES}/${name}/operstate`, 64)).toString("latin1").trim() === "up";
  } catch (error) {
    if (isError(error)) return false;
    throw error;
  }
}
