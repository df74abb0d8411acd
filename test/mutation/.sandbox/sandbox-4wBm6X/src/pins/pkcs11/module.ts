// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";
import type { System } from "../../system/port.ts";

/** What is needed to find and judge a driver. */
export type ModulePower = Pick<System, "realPath" | "findExposures">;

/** Where a package puts a driver. A header is written by whoever has the disk. */
const FOLDERS = ["/usr/", "/opt/", "/lib/", "/lib64/"];
const TRIPLETS: Readonly<Record<string, string>> = { x64: "x86_64-linux-gnu", arm64: "aarch64-linux-gnu" };

/**
 * Gives the PKCS#11 module that a URI means: the one that it names, else p11-kit's, which brings
 * together all that the system knows. One that others than root could change, or that no package
 * has put there, is not loaded: what is loaded runs as root.
 * @throws NightlatchError card/no-driver, file/*
 */
export async function findModule(system: ModulePower, named: string | undefined): Promise<string> {
  const candidates = named === undefined ? proxies() : [named];
  for (const path of candidates) {
    const real = await system.realPath(path);
    if (real === null) continue;
    if (!FOLDERS.some((folder) => real.startsWith(folder))) {
      throw noDriver(`${path} is not where drivers are installed (${FOLDERS.slice(0, 2).join(", ")})`);
    }
    const [exposure] = await system.findExposures([{ path, isSecret: false }]);
    if (exposure !== undefined) throw noDriver(`others than root can change ${exposure.path}`);
    return path;
  }
  throw noDriver(named === undefined ? "p11-kit's p11-kit-proxy.so is not installed" : `there is no ${named}`);
}

function proxies(): string[] {
  const triplet = TRIPLETS[process.arch];
  const folders = [...(triplet === undefined ? [] : [`/usr/lib/${triplet}`]), "/usr/lib64", "/usr/lib"];
  return folders.map((folder) => `${folder}/p11-kit-proxy.so`);
}

function noDriver(why: string): NightlatchError {
  return new NightlatchError("card/no-driver", `the card's driver cannot be used: ${why}`, {
    meaning: "No card was asked, and no PIN was tried. The passphrase opens the volume.",
    remedy: "Install the package p11-kit-modules and the card's own driver, or name it: …?module-path=/usr/lib/….so",
  });
}
