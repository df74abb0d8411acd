// @ts-nocheck
import type { EntryOptions } from "../../boot/entry/entries.ts";
import { type BootEntry, readStart } from "../../boot/entry/entry.ts";
import type { Generator, InitramfsFacts } from "../../boot/initramfs/inspect.ts";
import { programOf, REBUILD } from "../../boot/initramfs/mending.ts";
import { readNextBoot } from "../../boot/next-boot.ts";
import { NightlatchError } from "../../core/errors.ts";
import { type InitramfsVolume, volumeOption } from "../../formats/initramfs/crypttab.ts";
import { cmdlineForKexec } from "../../formats/loader/kernel-cmdline.ts";
import { luksBeneath, requireKnownRoot } from "../../host/block-devices.ts";
import { tryKeyFile } from "./key-file.ts";
import type { Opening, PlannedVolume, PlanPower, RebootPlan } from "./reboot-plan.ts";
import { planSystemVolumes } from "./system-volumes.ts";
import { type FoundVolume, resolveVolume } from "./volumes.ts";

const FILE_LIMIT_BYTES = 1 << 30;

/**
 * Reads the entry that will boot, its kernel and initramfs, and finds every volume that has to open
 * on the way to a login.
 * @throws NightlatchError boot/*, reboot/blocked where a volume would wait for a person and cannot
 * be helped
 */
export async function planReboot(system: PlanPower, wanted: EntryOptions): Promise<RebootPlan> {
  const next = await readNextBoot(system, wanted);
  const { entry, initrds, facts } = next;
  const kernel = await readStart(system, entry.kernel, FILE_LIMIT_BYTES);
  await requireKnownRoot(system);
  const beneathRoot = await luksBeneath(system, "/");
  const generator = requireGenerator(entry, facts, beneathRoot);
  const inside = await Promise.all(next.volumes.map((line) => planInitramfsVolume(system, line, facts)));
  requireRoot(inside, beneathRoot, entry, facts);
  const later = await planSystemVolumes(system, new Set(inside.map(({ name }) => name)));
  return {
    entry,
    cmdline: cmdlineForKexec(next.cmdline),
    kernel,
    initrds,
    generator,
    facts,
    volumes: [...inside, ...later],
  };
}

/**
 * Null only where nothing has to be opened before the root.
 * @throws NightlatchError boot/unsupported, boot/no-cryptsetup
 */
function requireGenerator(
  entry: BootEntry,
  facts: InitramfsFacts | null,
  beneathRoot: readonly string[],
): Generator | null {
  const rebuild = rebuildOf(facts);
  if (beneathRoot.length === 0) return facts?.opensLuks === true ? facts.generator : null;
  const meaning =
    "The root is encrypted, and this boot could not open it, with a passphrase or without. Nothing was changed.";
  if (facts === null) {
    throw new NightlatchError("boot/no-cryptsetup", `${entry.title} has no initramfs`, {
      meaning,
      remedy: "Make one: update-initramfs -c -k all",
    });
  }
  if (facts.generator === null) {
    throw new NightlatchError(
      "boot/unsupported",
      `the initramfs of ${entry.title} was made by no generator that is known`,
      {
        meaning: "Known are initramfs-tools, dracut and mkinitcpio. Nothing was changed.",
      },
    );
  }
  if (!facts.opensLuks) {
    throw new NightlatchError("boot/no-cryptsetup", `the initramfs of ${entry.title} holds no cryptsetup`, {
      meaning,
      remedy: "Install cryptsetup-initramfs (or dracut's crypt module), then: update-initramfs -u -k all",
    });
  }
  if (entry.release !== null && facts.releases.length > 0 && !facts.releases.includes(entry.release)) {
    throw new NightlatchError(
      "boot/no-entry",
      `the initramfs of ${entry.title} has modules of ${facts.releases.join(", ")}, not of ${entry.release}`,
      {
        meaning: "It belongs to another kernel and could not find its disks. Nothing was changed.",
        remedy: `Make it anew: ${rebuild}`,
      },
    );
  }
  return facts.generator;
}

/**
 * A key file that lies on the root, which is open by then. The word is Debian's, to the letter:
 * cryptsetup-initramfs's hooks/cryptroot writes it into the initramfs's crypttab, and its
 * scripts/local-top/cryptroot puts the root's mount point in its place.
 */
const ON_ROOT = "/FIXME-initramfs-rootmnt/";

async function planInitramfsVolume(
  system: PlanPower,
  line: InitramfsVolume,
  facts: InitramfsFacts | null,
): Promise<PlannedVolume> {
  const found = await resolveVolume(system, line.name, line.source, line.options);
  const opening = await howItOpens(system, line, found, facts);
  // What the initramfs opens it asks for, whatever a line says of nofail.
  return { stage: "initramfs", name: line.name, found, line, mayFail: false, opening };
}

/** A key file that is there is left to do its work, unless it was seen that it cannot. */
async function howItOpens(
  system: PlanPower,
  line: InitramfsVolume,
  found: FoundVolume,
  facts: InitramfsFacts | null,
): Promise<Opening> {
  if (line.key.startsWith("/") && volumeOption(line, "keyscript") === null) {
    if (line.key.startsWith(ON_ROOT)) {
      const path = line.key.slice(ON_ROOT.length - 1);
      const isThere = (await system.stat(path))?.kind === "file";
      if (!isThere) return { kind: "itself", why: `its key file ${path}, not tried`, proved: false };
      if ((await tryKeyFile(system, line, path, found)) === "opens")
        return { kind: "itself", why: `key file ${path}`, proved: true };
    } else if (facts?.has(line.key) === true) {
      return { kind: "itself", why: `its key file ${line.key} in the initramfs, not tried`, proved: false };
    }
  }
  const derived = volumeOption(line, "keyscript")?.split("/").at(-1) === "decrypt_derived";
  if (derived && facts?.has("lib/cryptsetup/scripts/decrypt_derived") === true) {
    return { kind: "itself", why: `a key derived from that of ${line.key}, not tried`, proved: false };
  }
  if (found.header !== null) return { kind: "disposable" };
  if (/^\/dev\/u?random$/.test(line.key)) return { kind: "itself", why: "random key", proved: true };
  throw new NightlatchError(
    "reboot/blocked",
    `${line.name} (${found.device}) is opened by the initramfs and is no LUKS volume`,
    {
      meaning: "It would wait for a person. Nothing was changed.",
      remedy: `Take it out of the initramfs (/etc/crypttab, then ${rebuildOf(facts)}), or make it LUKS.`,
    },
  );
}

function requireRoot(
  inside: readonly PlannedVolume[],
  beneathRoot: readonly string[],
  entry: BootEntry,
  facts: InitramfsFacts | null,
): void {
  const opened = new Set(inside.map(({ found }) => found.header?.uuid.toLowerCase()));
  const missing = beneathRoot.filter((uuid) => !opened.has(uuid.toLowerCase()));
  if (missing.length === 0) return;
  throw new NightlatchError(
    "reboot/blocked",
    `the initramfs of ${entry.title} does not open ${missing.join(", ")}, on which the root lies`,
    {
      meaning: "That boot would not find its root. Nothing was changed.",
      remedy: `Check /etc/crypttab, then: ${rebuildOf(facts)}`,
    },
  );
}

/** By the generator that made it; Debian's where that is not known. */
function rebuildOf(facts: InitramfsFacts | null): string {
  return REBUILD[facts === null || facts.generator === null ? "initramfs-tools" : programOf(facts.generator)];
}
