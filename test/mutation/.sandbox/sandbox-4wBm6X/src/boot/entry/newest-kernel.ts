// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";
import { compareRpmVersions } from "../../formats/loader/bls.ts";
import type { System } from "../../system/port.ts";
import { type BootEntry, wholeFile } from "./entry.ts";

/**
 * Finds the newest kernel of /boot that has an initramfs and modules, for a machine without a boot
 * loader of its own (a hypervisor's direct boot).
 * @param cmdline the running one, with which it is taken to boot
 * @throws NightlatchError boot/no-entry
 */
export async function newestKernel(
  system: Pick<System, "listDirectory" | "stat">,
  cmdline: string,
): Promise<BootEntry> {
  const names = new Set(await system.listDirectory("/boot"));
  const releases = [...names]
    .flatMap((name) => (name.startsWith("vmlinuz-") ? [name.slice("vmlinuz-".length)] : []))
    .sort((left, right) => compareRpmVersions(right, left));
  for (const release of releases) {
    const initrd = [`initrd.img-${release}`, `initramfs-${release}.img`].find((name) => names.has(name));
    const modules = await system.stat(`/lib/modules/${release}`);
    if (initrd === undefined || modules?.kind !== "directory") continue;
    return {
      title: `linux ${release}`,
      source: "newest kernel",
      once: false,
      id: release,
      kernel: wholeFile(`/boot/vmlinuz-${release}`),
      initrds: [wholeFile(`/boot/${initrd}`)],
      cmdline,
      release,
      notes: ["there is no boot loader's configuration: the newest installed kernel, with the running command line"],
    };
  }
  throw new NightlatchError(
    "boot/no-entry",
    "there is no boot loader's configuration, and no kernel with an initramfs in /boot",
    {
      meaning: "Nothing was changed.",
      remedy: "Mount /boot, or pass --kernel, --initrd and --cmdline.",
    },
  );
}
