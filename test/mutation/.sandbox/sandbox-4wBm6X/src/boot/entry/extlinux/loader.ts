// @ts-nocheck
import { defaultExtlinuxEntry, parseExtlinux } from "../../../formats/loader/extlinux.ts";
import { locateBootFile } from "../../../host/mounts.ts";
import { wholeFile } from "../entry.ts";
import { type Loader, noSuchEntry } from "../loader.ts";

const CONFIGURATION = "/boot/extlinux/extlinux.conf";
const LIMIT_BYTES = 256 * 1024;

/** extlinux, and U-Boot, which reads the same file. */
export const extlinux: Loader = {
  name: "extlinux",

  hasStarted: async () => false,

  listConfigurations: async (system) => ((await system.stat(CONFIGURATION))?.kind === "file" ? [CONFIGURATION] : []),

  async readEntry(system, { mounts, wanted }) {
    const menu = parseExtlinux((await system.readFile(CONFIGURATION, LIMIT_BYTES)).toString("utf8"));
    const entry = wanted === null ? defaultExtlinuxEntry(menu) : menu.entries.find(({ label }) => label === wanted);
    if (entry === undefined || entry === null) throw noSuchEntry("extlinux", wanted, CONFIGURATION);
    const anywhere = { fsUuid: null, isRelative: false };
    // Relative paths start from the configuration's own folder.
    const locate = (path: string) =>
      locateBootFile(system, mounts, path.startsWith("/") ? path : `/boot/extlinux/${path}`, anywhere).then(wholeFile);
    return {
      title: entry.title,
      source: "extlinux",
      once: false,
      id: entry.label,
      kernel: await locate(entry.kernel),
      initrds: await Promise.all(entry.initrds.map(locate)),
      cmdline: entry.options,
      release: null,
      notes: [],
    };
  },
};
