// @ts-nocheck
import type { InitramfsVolume } from "../../formats/initramfs/crypttab.ts";
import { splitCmdline } from "../../formats/loader/kernel-cmdline.ts";
import { type LuksWords, readLuksWords, UUID_VALUE, wordValue } from "../../formats/systemd/luks-words.ts";

/** What systemd opens in an initramfs, and the command line with which it does. */
export interface NeededVolumes {
  /** What the initramfs will open, in its order, by the names that it will give. */
  readonly volumes: readonly InitramfsVolume[];
  /** The command line to boot with: without what would overrule the overlay's crypttab. */
  readonly cmdline: string;
}

/**
 * What systemd opens in an initramfs (systemd-cryptsetup-generator(8), its parse_proc_cmdline_item
 * and add_crypttab_devices): once the command line lists a UUID, only what it speaks of is opened,
 * under the name that crypttab has for it; options that it gives a volume overrule those of its
 * line; and `crypttab=no` turns the file off, the overlay's as well. So all of that is taken into
 * the overlay's lines, and the command line changed to let them count: the last word does, and
 * `rd.` is heard in the initramfs alone.
 * @param ownCmdline what dracut's own scripts read beside the kernel's command line
 */
export function neededBySystemd(
  inside: readonly InitramfsVolume[],
  cmdline: string,
  ownCmdline: string,
): NeededVolumes {
  const words = readLuksWords(`${cmdline} ${ownCmdline}`, true);
  const { disks } = words;
  if (!words.isEnabled) return { volumes: [], cmdline };
  const hasList = [...disks.values()].some(({ isListed }) => isListed);
  const known = (words.readsCrypttab ? inside : []).flatMap((volume) => {
    const disk = disks.get(uuidOf(volume));
    if (hasList && disk === undefined) return [];
    return [disk?.options == null ? volume : { ...volume, options: disk.options }];
  });
  const inFile = new Set(known.map(uuidOf));
  const rest = [...disks].flatMap(([uuid, { name, options, isListed }]) =>
    !isListed || inFile.has(uuid)
      ? []
      : [{ name, source: `UUID=${uuid}`, key: "none", options: options ?? words.defaultOptions }],
  );
  const volumes = [...known, ...rest].filter(({ options }) => !options.includes("noauto"));
  return { volumes, cmdline: withoutOverrules(cmdline, words, new Set(volumes.map(uuidOf)), hasList) };
}

/**
 * Options that stand in the overlay's lines are taken out; what they had put on the list stays on
 * it.
 */
function withoutOverrules(cmdline: string, words: LuksWords, taken: ReadonlySet<string>, hasList: boolean): string {
  const left = splitCmdline(cmdline).flatMap((word) => {
    const [, uuid = ""] = UUID_VALUE.exec(wordValue(word, "luks.options", true) ?? "") ?? [];
    if (uuid === "" || !taken.has(uuid)) return [word];
    return hasList ? [`rd.luks.uuid=${uuid}`] : [];
  });
  return [...left, ...(words.readsCrypttab ? [] : ["rd.luks.crypttab=1"])].join(" ");
}

/**
 * By which a line of crypttab is looked for: its device's UUID, or that of a name like dracut's.
 */
function uuidOf({ name, source }: InitramfsVolume): string {
  const [, uuid] = /^(?:UUID=|\/dev\/disk\/by-uuid\/)(.*)$/.exec(source) ?? [];
  return uuid ?? (name.startsWith("luks-") ? name.slice("luks-".length) : source);
}
