// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";
import { type InitramfsVolume, parseInitramfsCrypttab } from "../../formats/initramfs/crypttab.ts";
import { cmdlineValues, splitCmdline } from "../../formats/loader/kernel-cmdline.ts";
import type { Generator, InitramfsFacts } from "./inspect.ts";
import { type NeededVolumes, neededBySystemd } from "./needed-systemd.ts";

/** A volume that the initramfs opens, and the key that it gets for it, if it gets one. */
export interface OverlayVolume {
  readonly volume: InitramfsVolume;
  readonly key: Uint8Array | null;
}

/**
 * Lists the volumes that an initramfs opens under a command line, as its own scripts decide it.
 * @param generator one that is known
 * @throws NightlatchError crypttab/malformed, boot/unsupported
 */
export function neededVolumes(
  generator: Generator,
  facts: Pick<InitramfsFacts, "crypttab" | "ownCmdline">,
  cmdline: string,
): NeededVolumes {
  const inside = parseInitramfsCrypttab(facts.crypttab ?? "", "the initramfs's crypttab");
  const all = `${cmdline} ${facts.ownCmdline}`;
  switch (generator) {
    case "initramfs-tools":
      return forInitramfsTools(inside, cmdline);
    case "dracut-systemd":
      requireNoAuto(all);
      return neededBySystemd(inside, cmdline, facts.ownCmdline);
    case "mkinitcpio-systemd":
      return neededBySystemd(inside, cmdline, facts.ownCmdline);
    case "dracut":
      requireNoAuto(all);
      return { volumes: listedByUuid(inside, all), cmdline };
    case "mkinitcpio":
      return { volumes: fromCryptdevice(cmdline), cmdline };
  }
}

/**
 * `cryptopts=` overrules the file (cryptsetup-initramfs, local-top/cryptroot); an empty one turns
 * all off.
 */
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

/**
 * dracut.cmdline(7): without a list it opens every LUKS volume that it finds.
 * @throws NightlatchError boot/unsupported
 */
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
 * dracut.cmdline(7), without systemd: `rd.luks.uuid=` and `rd.luks.name=` make a list, and then
 * only what is on it is opened, under the name and with the options that crypttab has for it;
 * without a list, what crypttab has.
 */
function listedByUuid(inside: readonly InitramfsVolume[], cmdline: string): InitramfsVolume[] {
  const values = (suffix: string) => cmdlineValues(cmdline, `rd.luks${suffix}`);
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
  const known = inside.filter((volume) => names.has(uuidOf(volume)));
  const inFile = new Set(known.map(uuidOf));
  const rest = [...names].filter(([uuid]) => !inFile.has(uuid));
  return [...known, ...rest.map(([uuid, name]) => ({ name, source: `UUID=${uuid}`, key: "none", options: [] }))];
}

/**
 * By which the command line finds a line of crypttab: its device's, or that of a name like
 * dracut's.
 */
function uuidOf({ name, source }: InitramfsVolume): string {
  const isByUuid = /^(?:"?UUID=|\/dev\/disk\/by-uuid\/)/.test(source);
  return bareUuid(isByUuid || !name.startsWith("luks-") ? source : name);
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
