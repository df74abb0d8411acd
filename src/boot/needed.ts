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
 * @throws NightlatchError crypttab/malformed
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
    case "mkinitcpio-systemd":
      return { volumes: listedByUuid(inside, all, ["rd.luks", "luks"]), cmdline };
    case "dracut":
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
