// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";

/**
 * One line of the crypttab that an initramfs holds. Fields are kept as they stand, octal escapes
 * and all: what an overlay does not change must reach the next boot as it was written.
 */
export interface InitramfsVolume {
  readonly name: string;
  /** UUID=…, a path, … */
  readonly source: string;
  /** "none" where the field is absent, "-" or "none". */
  readonly key: string;
  readonly options: readonly string[];
}

const MAX_BYTES = 256 * 1024;

/**
 * Reads the crypttab that an initramfs holds. Lines that open nothing are passed over.
 * @param what names the file in an error
 * @throws NightlatchError crypttab/malformed
 */
export function parseInitramfsCrypttab(text: string, what: string): InitramfsVolume[] {
  if (text.length > MAX_BYTES) throw malformed(what, `is larger than ${MAX_BYTES} bytes`);
  return text.split("\n").flatMap((line) => {
    const fields = line.trim().split(/[ \t]+/);
    const [name, source, key, options] = fields;
    if (name === undefined || name === "" || name.startsWith("#")) return [];
    // Passed over by systemd and by Debian's scripts, as is what follows the options.
    if (source === undefined) return [];
    return [
      {
        name,
        source,
        key: key === undefined || key === "-" ? "none" : key,
        options: (options ?? "").split(",").filter((option) => option !== "" && option !== "none"),
      },
    ];
  });
}

/** Writes one line, without its end. */
export function formatInitramfsVolume(entry: InitramfsVolume): string {
  return [entry.name, entry.source, entry.key, entry.options.join(",") || "luks"].join(" ");
}

/**
 * Reads the value of `name=value` among the options: "" for a bare `name`, null where it is absent.
 * The last one counts.
 */
export function volumeOption(entry: Pick<InitramfsVolume, "options">, name: string): string | null {
  const found = entry.options.findLast((option) => option === name || option.startsWith(`${name}=`));
  return found === undefined ? null : found.slice(name.length + 1);
}

function malformed(what: string, how: string): NightlatchError {
  return new NightlatchError("crypttab/malformed", `${what} ${how}`);
}
