// @ts-nocheck
import { isError } from "../../core/errors.ts";
import type { System } from "../../system/port.ts";
import type { EarlyLack } from "./clevis.ts";
import type { InitramfsFacts } from "./inspect.ts";
import { holdsModule } from "./kernel-module.ts";
import { addDriver, type Mending } from "./mending.ts";

const INTERFACES = "/sys/class/net";

type DriverPower = Pick<System, "run" | "readFile" | "realPath" | "listDirectory">;

/**
 * Tells why an initramfs cannot bring a network up on this machine: of no network card that carries
 * a signal now it holds the driver, with that of each bus which the card hangs on, and with what
 * they need. Null where it holds those of one card, where they are built into the kernel, and where
 * there is no card to tell it by.
 * @throws NightlatchError file/*, system/*
 */
export async function whyNoDriver(
  system: DriverPower,
  facts: Pick<InitramfsFacts, "has">,
  release: string | null,
  mending: Mending,
): Promise<EarlyLack | null> {
  const lacking: string[][] = [];
  for (const name of await system.listDirectory(INTERFACES)) {
    if (!(await isUp(system, name))) continue;
    const drivers = await driversOf(system, name);
    if (drivers === null) continue; // a bridge, the loopback
    const missing: string[] = [];
    for (const driver of drivers) if (!(await holdsModule(system, facts, release, driver))) missing.push(driver);
    if (missing.length === 0) return null;
    lacking.push(missing);
  }
  const [first] = lacking;
  if (first === undefined) return null;
  return {
    code: "driver",
    what: `the initramfs holds no driver of a network card that is in use (${[...new Set(lacking.flat())].join(", ")})`,
    ...addDriver(mending, first, "driver"),
  };
}

/**
 * Lists the modules of a card's driver and of those behind it, such as virtio_net and virtio_pci.
 * Null where it is no hardware; one that is built in is not listed.
 */
async function driversOf(system: Pick<System, "realPath">, name: string): Promise<string[] | null> {
  const device = `${INTERFACES}/${name}/device`;
  if ((await system.realPath(`${device}/driver`)) === null) return null;
  const modules = new Set<string>();
  for (const folder of [device, ...above(await system.realPath(device))]) {
    const module = await system.realPath(`${folder}/driver/module`);
    if (module !== null) modules.add(module.slice(module.lastIndexOf("/") + 1));
  }
  return [...modules];
}

/** The devices that one hangs on: the folders around it in /sys/devices (sysfs(5)). */
function above(device: string | null): string[] {
  const folders: string[] = [];
  for (let folder = device ?? ""; folder.startsWith("/sys/devices/"); ) {
    folder = folder.slice(0, folder.lastIndexOf("/"));
    folders.push(folder);
  }
  return folders;
}

async function isUp(system: Pick<System, "readFile">, name: string): Promise<boolean> {
  try {
    return (await system.readFile(`${INTERFACES}/${name}/operstate`, 64)).toString("latin1").trim() === "up";
  } catch (error) {
    if (isError(error)) return false;
    throw error;
  }
}
