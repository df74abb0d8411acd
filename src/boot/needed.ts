import { NightlatchError } from "../core/errors.ts";
import { type InitramfsVolume, parseInitramfsCrypttab } from "../formats/initramfs-crypttab.ts";
import { cmdlineValues, splitCmdline } from "../formats/kernel-cmdline.ts";
import type { InitramfsFacts, Stack } from "./initramfs.ts";

export interface NeededVolumes {
  /** What the initramfs will open, in its order, by the names that it will give. */
  readonly volumes: readonly InitramfsVolume[];
  /** The command line to boot with: without what would overrule the overlay's crypttab. */
  readonly cmdline: string;
}

/** A volume that the initramfs opens, and the key that it gets for it, if it gets one. */
export interface OverlayVolume {
  readonly volume: InitramfsVolume;
  readonly key: Uint8Array | null;
}

/**
 * The volumes that an initramfs opens under a command line, as its own scripts decide it. `stack` is one that is known.
 * @throws NightlatchError crypttab/malformed, boot/unsupported
 */
export function neededVolumes(
  stack: Stack,
  facts: Pick<InitramfsFacts, "crypttab" | "ownCmdline">,
  cmdline: string,
): NeededVolumes {
  const inside = parseInitramfsCrypttab(facts.crypttab ?? "", "the initramfs's crypttab");
  const all = `${cmdline} ${facts.ownCmdline}`;
  switch (stack) {
    case "initramfs-tools":
      return forInitramfsTools(inside, cmdline);
    case "dracut-systemd":
      requireNoAuto(all);
      return forSystemd(inside, all, cmdline);
    case "mkinitcpio-systemd":
      return forSystemd(inside, all, cmdline);
    case "dracut":
      requireNoAuto(all);
      return { volumes: listedByUuid(inside, all, ["rd.luks"]), cmdline };
    case "mkinitcpio":
      return { volumes: fromCryptdevice(cmdline), cmdline };
  }
}

/** `cryptopts=` overrules the file (cryptsetup-initramfs, local-top/cryptroot); an empty one turns all off. */
function forInitramfsTools(inside: readonly InitramfsVolume[], cmdline: string): NeededVolumes {
  const given = cmdlineValues(cmdline, "cryptopts");
  if (given.length === 0) return { volumes: inside, cmdline };
  const volumes = given.filter((value) => value !== "").flatMap(fromCryptopts);
  const rest = splitCmdline(cmdline).filter((word) => !word.startsWith("cryptopts="));
  return { volumes, cmdline: rest.join(" ") };
}

function fromCryptopts(value: string): InitramfsVolume[] {
  const volume = { name: "cryptroot", source: "", key: "none", options: [] as string[] };
  for (const part of value.split(",")) {
    if (part.startsWith("target=")) volume.name = part.slice("target=".length);
    else if (part.startsWith("source=")) volume.source = part.slice("source=".length);
    else if (part.startsWith("key=")) volume.key = part.slice("key=".length) || "none";
    else if (part !== "") volume.options.push(part);
  }
  return volume.source === "" ? [] : [volume];
}

/** dracut.cmdline(7): without a list it opens every LUKS volume that it finds. @throws NightlatchError boot/unsupported */
function requireNoAuto(cmdline: string): void {
  const isListed = cmdlineValues(cmdline, "rd.luks.uuid").length > 0;
  if (isListed || !isOn(cmdlineValues(cmdline, "rd.auto").at(-1) ?? "0")) return;
  throw new NightlatchError("boot/unsupported", "rd.auto=1 has dracut open every LUKS volume that it finds", {
    meaning: "Which ones the next boot will ask for is not known here. Nothing was changed.",
    remedy: "Name the volumes on the kernel's command line in its place: rd.luks.uuid=UUID, once for each.",
  });
}

const isOn = (value: string): boolean => !["0", "no", "n", "false", "f", "off"].includes(value.toLowerCase());

/**
 * systemd-cryptsetup-generator(8). Options that the command line gives a volume overrule those of its
 * line in crypttab, and `crypttab=no` turns the file off, the overlay's as well. So what they mean is
 * taken into the overlay, and the command line says so: the last word counts, and `rd.` is heard in
 * the initramfs alone.
 */
function forSystemd(inside: readonly InitramfsVolume[], all: string, cmdline: string): NeededVolumes {
  const isRead = isOn(lastOf(all, ["rd.luks.crypttab", "luks.crypttab"]) ?? "1");
  const options = optionsByUuid(all);
  const volumes = listedByUuid(isRead ? inside : [], all, ["rd.luks", "luks"]).map((volume) => {
    const own = options.get(bareUuid(volume.source));
    return own === undefined ? volume : { ...volume, options: own };
  });
  const taken = new Set(volumes.map(({ source }) => bareUuid(source)));
  const words = splitCmdline(cmdline).filter((word) => {
    const [uuid] = optionsOf(word) ?? [];
    return uuid === undefined || !taken.has(uuid);
  });
  return { volumes, cmdline: [...words, ...(isRead ? [] : ["rd.luks.crypttab=1"])].join(" ") };
}

/** The last value of any of the names. */
function lastOf(cmdline: string, names: readonly string[]): string | undefined {
  const words = splitCmdline(cmdline).map((word) => word.replaceAll('"', ""));
  const found = words.findLast((word) => names.some((name) => word === name || word.startsWith(`${name}=`)));
  return found === undefined ? undefined : found.includes("=") ? found.slice(found.indexOf("=") + 1) : "1";
}

/** Of `rd.luks.options=UUID=…`: the UUID and the options; null for another word. */
function optionsOf(word: string): readonly [string, string[]] | null {
  const bare = word.replaceAll('"', "");
  const [, uuid, text] = /^(?:rd\.)?luks\.options=(?:luks-)?([0-9A-Fa-f]{8}-[0-9A-Fa-f-]{27})=(.*)$/.exec(bare) ?? [];
  return uuid === undefined || text === undefined
    ? null
    : [uuid.toLowerCase(), text.split(",").filter((option) => option !== "")];
}

function optionsByUuid(cmdline: string): Map<string, string[]> {
  const own = splitCmdline(cmdline).map(optionsOf);
  return new Map(own.filter((found) => found !== null));
}

/**
 * systemd-cryptsetup-generator(8) and dracut.cmdline(7): `luks.uuid=` and `luks.name=` make a list, and then only what is on it
 * is opened, under the name and with the options that crypttab has for it; without a list, what crypttab has.
 */
function listedByUuid(
  inside: readonly InitramfsVolume[],
  cmdline: string,
  prefixes: readonly string[],
): InitramfsVolume[] {
  const values = (suffix: string) => prefixes.flatMap((prefix) => cmdlineValues(cmdline, `${prefix}${suffix}`));
  if (values("").some((value) => ["0", "no", "false", "off"].includes(value))) return [];
  const names = new Map<string, string>();
  for (const value of values(".uuid")) {
    const uuid = bareUuid(value);
    names.set(uuid, names.get(uuid) ?? `luks-${uuid}`);
  }
  for (const value of values(".name")) {
    const [uuid, name] = [value.slice(0, value.indexOf("=")), value.slice(value.indexOf("=") + 1)];
    if (uuid !== "" && name !== "") names.set(bareUuid(uuid), name);
  }
  if (names.size === 0) return inside.filter((volume) => !volume.options.includes("noauto"));
  return [...names].map(([uuid, name]) => {
    const known = inside.find((volume) => bareUuid(volume.source) === uuid);
    if (known !== undefined) return known;
    const options = values(".options").map((value) => /^([0-9A-Fa-f-]{36})=(.*)$/.exec(value) ?? ["", uuid, value]);
    const own = options.findLast(([, of]) => of?.toLowerCase() === uuid)?.[2] ?? "";
    return { name, source: `UUID=${uuid}`, key: "none", options: own.split(",").filter((option) => option !== "") };
  });
}

const bareUuid = (text: string): string =>
  text
    .replace(/^(?:luks-|UUID=|\/dev\/disk\/by-uuid\/)/, "")
    .replaceAll('"', "")
    .toLowerCase();

/** mkinitcpio's encrypt hook: `cryptdevice=DEVICE:NAME[:OPTIONS]`. */
function fromCryptdevice(cmdline: string): InitramfsVolume[] {
  const value = cmdlineValues(cmdline, "cryptdevice").at(-1);
  const [, source, name, options] = /^([^:]+):([^:]+)(?::(.*))?$/.exec(value ?? "") ?? [];
  if (source === undefined || name === undefined) return [];
  const key = cmdlineValues(cmdline, "cryptkey").at(-1) ?? "none";
  return [{ name, source, key, options: (options ?? "").split(",").filter((option) => option !== "") }];
}
