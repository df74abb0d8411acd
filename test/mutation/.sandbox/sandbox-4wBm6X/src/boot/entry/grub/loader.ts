// @ts-nocheck
import { dirname } from "node:path";
import { NightlatchError } from "../../../core/errors.ts";
import { locateBootFile } from "../../../host/mounts.ts";
import { wholeFile } from "../entry.ts";
import { type Loader, noSuchEntry } from "../loader.ts";
import { grubEntry, grubFolders } from "./configuration.ts";

/** GRUB boots what its configuration gives when it is run as GRUB runs it. */
export const grub: Loader = {
  name: "grub",

  hasStarted: async () => false,

  listConfigurations: async (system) => (await grubFolders(system)).map((folder) => `${folder}/grub.cfg`),

  async readEntry(system, { mounts, configuration, wanted }) {
    const found = await grubEntry(system, dirname(configuration), wanted);
    if (found === null || (wanted !== null && !found.choice.asNamed)) throw noSuchEntry("GRUB", wanted, configuration);
    const { entry, path, asNamed } = found.choice;
    const linux = entry.linux;
    if (linux === null) {
      throw new NightlatchError(
        "boot/unsupported",
        `GRUB's default entry ${JSON.stringify(entry.title)} loads no Linux`,
        {
          meaning: "Nothing was changed.",
          remedy: "Name another entry with --entry, by its id or title.",
        },
      );
    }
    const place = { fsUuid: linux.fsUuid, isRelative: linux.isRelative === true };
    const locate = (name: string) => locateBootFile(system, mounts, name, place).then(wholeFile);
    return {
      title: entry.title,
      source: "grub",
      once: found.once,
      id: path,
      kernel: await locate(linux.kernel),
      initrds: await Promise.all(linux.initrds.map(locate)),
      cmdline: linux.options,
      release: null,
      notes: asNamed ? [] : ["GRUB's default names an entry that is not there; it boots the first one instead"],
    };
  },
};
