// @ts-nocheck
import { wholeFile } from "../entry.ts";
import { type Loader, noSuchEntry } from "../loader.ts";
import { hasOneShot, startedBySystemdBoot, systemdBootEntry } from "./bootctl.ts";

/** systemd-boot, where it started the running system, boots what bootctl lists as its default. */
export const systemdBoot: Loader = {
  name: "systemd-boot",

  hasStarted: startedBySystemdBoot,

  listConfigurations: async () => [],

  async readEntry(system, { wanted }) {
    const found = await systemdBootEntry(system, wanted);
    if (found === null) throw noSuchEntry("systemd-boot", wanted, "bootctl list");
    const at = (path: string) => wholeFile(`${found.root.replace(/\/$/, "")}/${path.replace(/^\/+/, "")}`);
    return {
      title: found.title,
      source: "systemd-boot",
      once: wanted === null && (await hasOneShot(system)),
      id: found.id,
      kernel: found.type === "type2" ? wholeFile(found.path) : at(found.linux),
      initrds: found.initrds.map(at),
      cmdline: found.options,
      profile: found.profile,
      release: null,
      notes: [],
    };
  },
};
