// @ts-nocheck
import { isError, NightlatchError } from "../../core/errors.ts";
import { readVolumeHeader, type VolumeHeader } from "../../luks/header/header.ts";
import type { System } from "../../system/port.ts";

/** A device, and the header that was read on it. */
export interface FoundVolume {
  /** As a person knows it: /dev/vda3. */
  readonly device: string;
  /** Null where it is no LUKS volume. */
  readonly header: VolumeHeader | null;
}

const FOLDERS: Readonly<Record<string, string>> = {
  UUID: "/dev/disk/by-uuid",
  LABEL: "/dev/disk/by-label",
  PARTUUID: "/dev/disk/by-partuuid",
  PARTLABEL: "/dev/disk/by-partlabel",
};

/**
 * Finds the device that a crypttab names, and reads its header.
 * @param path where it is; absent, what the initramfs's crypttab means by `source`
 * @throws NightlatchError reboot/blocked where it is not there, or its header lies elsewhere
 */
export async function resolveVolume(
  system: Pick<System, "realPath" | "readAt">,
  name: string,
  source: string,
  options: readonly string[],
  path: string = pathOf(source),
): Promise<FoundVolume> {
  if (options.some((option) => option.startsWith("header="))) {
    throw blocked(`${name} keeps its LUKS header in a file of its own`, "That is not supported yet.");
  }
  const device = await system.realPath(path);
  if (device === null) throw blocked(`${name}: its device ${source} is not there`, "That boot would wait for it.");
  try {
    return { device, header: await readVolumeHeader(system, device) };
  } catch (error) {
    if (isError(error, "luks/none")) return { device, header: null };
    throw error;
  }
}

function pathOf(source: string): string {
  const [, tag, value] = /^([A-Z]+)=(.*)$/.exec(source.replaceAll('"', "")) ?? [];
  const folder = tag === undefined ? undefined : FOLDERS[tag];
  if (folder === undefined || value === undefined) return source;
  return `${folder}/${folder.endsWith("uuid") ? value.toLowerCase() : value}`;
}

function blocked(what: string, meaning: string): NightlatchError {
  return new NightlatchError("reboot/blocked", what, {
    meaning: `${meaning} Nothing was changed.`,
    remedy: "Check /etc/crypttab; then: update-initramfs -u -k all",
  });
}
