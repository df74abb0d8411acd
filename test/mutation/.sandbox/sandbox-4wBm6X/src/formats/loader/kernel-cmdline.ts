/**
 * Splits a kernel command line into its words, as the kernel's next_arg() does (lib/cmdline.c):
 * white space separates, and double quotes keep white space together. The words keep their quotes,
 * so that joining them gives the same line.
 */
// @ts-nocheck

export function splitCmdline(line: string): string[] {
  return line.match(/(?:"[^"]*(?:"|$)|[^\s"])+/g) ?? [];
}

/**
 * Lists the values of every `name=value`, in order, without the quotes. A bare `name` counts as "".
 */
export function cmdlineValues(line: string, name: string): string[] {
  return splitCmdline(line)
    .map((word) => word.replaceAll('"', ""))
    .filter((word) => word === name || word.startsWith(`${name}=`))
    .map((word) => word.slice(name.length + 1));
}

/**
 * Takes two words out of a command line. `retain_initrd` would keep the initramfs, and the key in
 * it, in memory for as long as the kernel runs. The boot loader's own note of the image names a
 * path that only the loader's file system has.
 */
export function cmdlineForKexec(line: string): string {
  return splitCmdline(line)
    .filter((word) => word !== "retain_initrd" && !word.startsWith("BOOT_IMAGE="))
    .join(" ");
}
