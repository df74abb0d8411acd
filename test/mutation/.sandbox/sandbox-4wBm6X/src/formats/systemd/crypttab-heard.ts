// @ts-nocheck
import { type Crypttab, type CrypttabEntry, parseOptions } from "./crypttab.ts";
import { readLuksWords } from "./luks-words.ts";

interface HeardCrypttab {
  readonly crypttab: Crypttab;
  /** Volumes whose lines the command line keeps systemd from, with why. */
  readonly unheard: ReadonlyMap<string, string>;
}

/**
 * Reads the system's crypttab as systemd takes it after the initramfs, with this kernel command
 * line: `luks=no` and `luks.crypttab=no` turn it off, `luks.uuid=` and `luks.name=` make a list of
 * all that is opened, `luks.options=UUID=…` overrules a line (systemd-cryptsetup-generator(8)).
 */
export function hearCrypttab(crypttab: Crypttab, cmdline: string): HeardCrypttab {
  const { isEnabled, readsCrypttab, disks } = readLuksWords(cmdline, false);
  if (!isEnabled || !readsCrypttab) {
    const why = `the kernel command line has ${isEnabled ? "luks.crypttab=no" : "luks=no"}`;
    const unheard = new Map(crypttab.entries.map(({ volume }) => [volume, why]));
    return { crypttab: { ...crypttab, stopsAt: null, unreadable: [] }, unheard };
  }
  const hasList = [...disks.values()].some(({ isListed }) => isListed);
  const unheard = new Map<string, string>();
  const entries = crypttab.entries.map((entry) => {
    const disk = disks.get(uuidOf(entry) ?? "");
    if (hasList && disk === undefined) {
      unheard.set(
        entry.volume,
        "the kernel command line lists other volumes (luks.uuid=, luks.name=) and not this one",
      );
    }
    return disk?.options == null ? entry : { ...entry, options: parseOptions(disk.options.join(",")) };
  });
  return { crypttab: { ...crypttab, entries }, unheard };
}

/**
 * By which systemd looks for a line on the command line: the device's UUID, else that of a name
 * like dracut's.
 */
function uuidOf({ volume, device }: CrypttabEntry): string | null {
  const [, uuid] = /^(?:UUID=|\/dev\/disk\/by-uuid\/)(.*)$/s.exec(device) ?? [];
  return uuid ?? (volume.startsWith("luks-") ? volume.slice("luks-".length) : null);
}
