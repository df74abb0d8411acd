// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";
import { paddingBeforeOverlay } from "../../formats/initramfs/initramfs.ts";
import { formatBlsOneshot, markInBls } from "../../formats/loader/bls-one-time-entry.ts";
import { ONESHOT_ID, type OneshotMark } from "../../formats/own/oneshot-mark.ts";
import { fileSystemOf } from "../../host/file-system.ts";
import type { BootEntry } from "../entry/entry.ts";
import {
  oneShotOf,
  type SystemdBootEntry,
  startedBySystemdBoot,
  systemdBootEntry,
} from "../entry/systemd-boot/bootctl.ts";
import { BOOT_ROOTS, oneshotFiles, writeOneshotFiles } from "./files.ts";
import { mustRun, type OneshotLoader, type OneshotPower, settle, unavailable } from "./loader.ts";
import { requireBootRoom } from "./place.ts";

const LIMIT_BYTES = 64 * 1024;
/** The file's name, which is also the loader's id. */
const FILE = `${ONESHOT_ID}.conf`;
const TEMPORARY = /^nightlatch-oneshot\.conf\.[0-9a-f]{12}\.tmp$/;
const folderOf = (root: string): string => `${root}/loader/entries`;
const entryOf = (root: string): string => `${folderOf(root)}/${FILE}`;

/**
 * systemd-boot: an entry file of ours, chosen once by LoaderEntryOneShot
 * (systemd.io/BOOT_LOADER_INTERFACE).
 */
export const systemdBootOneshot: OneshotLoader = {
  name: "systemd-boot",
  source: "systemd-boot",

  async prepare(system, { entry, cmdline, initrdBytes }) {
    const other = await otherEntry(system, entry);
    const root = BOOT_ROOTS.find((one) => one === other.root.replace(/\/$/, ""));
    if (root === undefined)
      throw unavailable(
        `the entry lies on what is mounted at ${other.root}`,
        `Mount it at one of ${BOOT_ROOTS.join(", ")}.`,
      );
    const text = (await system.readFile(other.path, LIMIT_BYTES)).toString("utf8");
    await requireBootRoom(system, root);
    const files = oneshotFiles(root);
    const extra = [files.pad, files.overlay].map((path) => path.slice(root.length));
    const before = await oneShotOf(system);
    // With it set bootctl would not tell whether ours were the default without it.
    if (before !== null)
      throw unavailable(
        `another entry is set for the next boot alone: ${before}`,
        `Take it back (bootctl set-oneshot ""), and name it: --entry ${before}`,
      );
    return {
      loader: "systemd-boot",
      overlay: files.overlay,
      fileSystem: await fileSystemOf(system, root),
      arm: async (overlay, validity, lock) => {
        await writeOneshotFiles(system, root, paddingBeforeOverlay(initrdBytes), overlay);
        const title = `Nightlatch, this boot only: ${other.title}`;
        const mark = { ...validity, overlay: files.overlay, before: null };
        const written = formatBlsOneshot(text, mark, { title, options: cmdline, extra });
        await system.writeFile(entryOf(root), Buffer.from(written), 0o600);
        await settle(system, root);
        await requireListed(system, other, extra, cmdline);
        await mustRun(system, ["bootctl", "set-oneshot", FILE], lock);
        if ((await oneShotOf(system)) === FILE) return;
        throw new NightlatchError("oneshot/failed", "bootctl set-oneshot ended well, and no one-time choice is set", {
          meaning: "It is taken back.",
        });
      },
    };
  },

  async find(system) {
    const isChosen = (await oneShotOf(system)) === FILE;
    for (const root of BOOT_ROOTS) {
      const names = await system.listDirectory(folderOf(root));
      if (names.includes(FILE)) return { entry: entryOf(root), mark: await markOf(system, root), isChosen };
      if (names.some((name) => TEMPORARY.test(name))) return { entry: null, mark: null, isChosen };
    }
    return isChosen ? { entry: null, mark: null, isChosen } : null;
  },

  async unchoose(system) {
    if ((await oneShotOf(system)) !== FILE) return false;
    await mustRun(system, ["bootctl", "set-oneshot", ""]);
    if ((await oneShotOf(system)) !== FILE) return true;
    throw new NightlatchError("oneshot/left-over", "the one-time choice of systemd-boot could not be taken back", {
      meaning: "The next boot takes an entry whose keys open nothing, and asks for the passphrase then.",
      remedy: 'Run: bootctl set-oneshot ""',
    });
  },

  async removeEntry(system) {
    const gone: string[] = [];
    for (const root of BOOT_ROOTS) {
      const names = (await system.listDirectory(folderOf(root))).filter(
        (name) => name === FILE || TEMPORARY.test(name),
      );
      for (const name of names) {
        await system.removeFile(`${folderOf(root)}/${name}`);
        if (name === FILE) gone.push(entryOf(root));
      }
    }
    return gone;
  },
};

/** The entry that is to boot, which has to be one that another can be made of. */
async function otherEntry(system: OneshotPower, entry: BootEntry): Promise<SystemdBootEntry> {
  if (!(await startedBySystemdBoot(system))) throw unavailable("systemd-boot did not start this system");
  const other = await systemdBootEntry(system, entry.id);
  if (other === null) throw unavailable(`bootctl does not know the entry ${JSON.stringify(entry.id)}`);
  if (other.type === "type2" || entry.kernel.section !== null) {
    throw unavailable(
      "the entry is a unified kernel image, to which no entry file can add an initrd",
      "Use kexec (nightlatch reboot --via kexec), or an entry with linux and initrd lines (kernel-install's layout bls).",
    );
  }
  if (other.linux === "" || other.initrds.length === 0) throw unavailable("the entry has no kernel with an initramfs");
  return other;
}

/**
 * As bootctl, which counts as the loader does, sees it: there, with all that it is to load, and not
 * the default by itself.
 */
async function requireListed(
  system: OneshotPower,
  other: SystemdBootEntry,
  extra: readonly string[],
  cmdline: string,
): Promise<void> {
  const ours = await systemdBootEntry(system, FILE);
  const initrds = [...other.initrds, ...extra];
  const isWhole =
    ours?.linux === other.linux && JSON.stringify(ours.initrds) === JSON.stringify(initrds) && ours.options === cmdline;
  if (ours === null || !isWhole) {
    throw new NightlatchError("oneshot/failed", `bootctl does not list ${FILE} as it was written`, {
      meaning: "It is taken back.",
    });
  }
  if (!ours.isDefault) return;
  throw unavailable(
    "the one-time entry would become the default one, for no other is set as the default",
    `Set it: bootctl set-default ${other.id}`,
  );
}

async function markOf(system: OneshotPower, root: string): Promise<OneshotMark | null> {
  if ((await system.stat(entryOf(root))) === null) return null;
  try {
    return markInBls((await system.readFile(entryOf(root), LIMIT_BYTES)).toString("utf8"));
  } catch (error) {
    if (error instanceof NightlatchError) return null;
    throw error;
  }
}
