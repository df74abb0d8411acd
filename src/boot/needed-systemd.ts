import type { InitramfsVolume } from "../formats/initramfs-crypttab.ts";
import { splitCmdline } from "../formats/kernel-cmdline.ts";

export interface NeededVolumes {
  /** What the initramfs will open, in its order, by the names that it will give. */
  readonly volumes: readonly InitramfsVolume[];
  /** The command line to boot with: without what would overrule the overlay's crypttab. */
  readonly cmdline: string;
}

/** What the command line says of one UUID. */
interface Disk {
  name: string;
  options: string[] | null;
  /** To be opened whether crypttab has it or not. */
  isListed: boolean;
}

interface Words {
  isEnabled: boolean;
  readsCrypttab: boolean;
  defaultOptions: string[];
  readonly disks: Map<string, Disk>;
}

/**
 * What systemd opens in an initramfs (systemd-cryptsetup-generator(8), its parse_proc_cmdline_item and
 * add_crypttab_devices): once the command line lists a UUID, only what it speaks of is opened, under
 * the name that crypttab has for it; options that it gives a volume overrule those of its line; and
 * `crypttab=no` turns the file off, the overlay's as well. So all of that is taken into the overlay's
 * lines, and the command line changed to let them count: the last word does, and `rd.` is heard in
 * the initramfs alone.
 * @param ownCmdline what dracut's own scripts read beside the kernel's command line
 */
export function neededBySystemd(
  inside: readonly InitramfsVolume[],
  cmdline: string,
  ownCmdline: string,
): NeededVolumes {
  const words = readWords(`${cmdline} ${ownCmdline}`);
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

/** Options that stand in the overlay's lines are taken out; what they had put on the list stays on it. */
function withoutOverrules(cmdline: string, words: Words, taken: ReadonlySet<string>, hasList: boolean): string {
  const left = splitCmdline(cmdline).flatMap((word) => {
    const [, uuid = ""] = UUID_VALUE.exec(wordValue(word, "luks.options") ?? "") ?? [];
    if (uuid === "" || !taken.has(uuid)) return [word];
    return hasList ? [`rd.luks.uuid=${uuid}`] : [];
  });
  return [...left, ...(words.readsCrypttab ? [] : ["rd.luks.crypttab=1"])].join(" ");
}

/** `UUID=VALUE`, as its sscanf() takes it. */
const UUID_VALUE = /^([0-9a-fA-F-]+)=(\S+)$/;

function readWords(cmdline: string): Words {
  const words: Words = { isEnabled: true, readsCrypttab: true, defaultOptions: [], disks: new Map() };
  const disk = (uuid: string): Disk => {
    const there = words.disks.get(uuid) ?? { name: `luks-${uuid}`, options: null, isListed: false };
    words.disks.set(uuid, there);
    return there;
  };
  for (const word of splitCmdline(cmdline)) {
    const value = (name: string) => wordValue(word, name);
    const pair = (name: string) => UUID_VALUE.exec(value(name) ?? "");
    words.isEnabled = booleanOf(value("luks")) ?? words.isEnabled;
    words.readsCrypttab = booleanOf(value("luks.crypttab")) ?? words.readsCrypttab;
    const listed = value("luks.uuid");
    if (listed) disk(listed.replace(/^luks-/, "")).isListed = true;
    const [, named, name] = pair("luks.name") ?? [];
    if (named !== undefined && name !== undefined) Object.assign(disk(named), { name, isListed: true });
    for (const other of ["luks.key", "luks.data"]) {
      const [, uuid] = pair(other) ?? [];
      if (uuid !== undefined) disk(uuid);
    }
    const [, owner, own] = pair("luks.options") ?? [];
    if (owner !== undefined && own !== undefined) disk(owner).options = listOf(own);
    else if (value("luks.options")) words.defaultOptions = listOf(value("luks.options") ?? "");
  }
  return words;
}

/** Of `NAME=VALUE` or `rd.NAME=VALUE`; "" of a bare name, null of another word. */
function wordValue(word: string, name: string): string | null {
  const bare = word.replaceAll('"', "").replace(/^rd\./, "");
  if (bare === name) return "";
  return bare.startsWith(`${name}=`) ? bare.slice(name.length + 1) : null;
}

/** parse_boolean() of systemd; null for what it does not take, which leaves all as it was. */
function booleanOf(value: string | null): boolean | null {
  if (value === null) return null;
  if (/^(?:|1|yes|y|true|t|on)$/i.test(value)) return true;
  return /^(?:0|no|n|false|f|off)$/i.test(value) ? false : null;
}

const listOf = (text: string): string[] => text.split(",").filter((option) => option !== "");

/** By which a line of crypttab is looked for: its device's UUID, or that of a name like dracut's. */
function uuidOf({ name, source }: InitramfsVolume): string {
  const [, uuid] = /^(?:UUID=|\/dev\/disk\/by-uuid\/)(.*)$/.exec(source) ?? [];
  return uuid ?? (name.startsWith("luks-") ? name.slice("luks-".length) : source);
}
