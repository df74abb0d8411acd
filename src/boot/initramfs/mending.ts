import type { Stack } from "./inspect.ts";

type Generator = "initramfs-tools" | "dracut" | "mkinitcpio";

/**
 * How this machine installs packages and makes its initramfs, in commands that a person can run as
 * they are.
 */
export interface Mending {
  readonly generator: Generator;
  /** Makes the initramfs of every kernel anew. */
  readonly rebuild: string;
  readonly install: (name: string) => string;
}

/** The command that makes every initramfs anew, by generator. */
export const REBUILD: Readonly<Record<Generator, string>> = {
  "initramfs-tools": "update-initramfs -u -k all",
  dracut: "dracut --force --regenerate-all",
  mkinitcpio: "mkinitcpio -P",
};

/** By the distribution's ID and ID_LIKE (os-release(5)). */
const INSTALLERS: readonly (readonly [RegExp, string])[] = [
  [/\b(?:debian|ubuntu)\b/, "apt-get install"],
  [/\b(?:fedora|rhel|centos)\b/, "dnf install"],
  [/\b(?:suse|opensuse)\b/, "zypper install"],
  [/\barch\b/, "pacman -S"],
];

/** Tells how an initramfs of that generator is mended on that system. */
export function mendingOf(generator: Generator, osRelease: ReadonlyMap<string, string>): Mending {
  const words = `${osRelease.get("ID") ?? ""} ${osRelease.get("ID_LIKE") ?? ""}`;
  const installer = INSTALLERS.find(([pattern]) => pattern.test(words))?.[1];
  return {
    generator,
    rebuild: REBUILD[generator],
    install: (name) => (installer === undefined ? `Install ${name}` : `${installer} ${name}`),
  };
}

/** Names the program that made an initramfs with these scripts in it. */
export function generatorOf(stack: Stack): Generator {
  if (stack === "initramfs-tools") return "initramfs-tools";
  return stack.startsWith("dracut") ? "dracut" : "mkinitcpio";
}

/** dracut.conf(5) takes every file of its folder. */
const DRACUT_CONF = "/etc/dracut.conf.d";

/** Tells a person how to put a kernel module into the initramfs. */
export function addDriver({ generator, rebuild }: Mending, driver: string): string {
  switch (generator) {
    case "initramfs-tools":
      return `echo ${driver} >> /etc/initramfs-tools/modules && ${rebuild}`;
    case "dracut":
      return `echo 'add_drivers+=" ${driver} "' > ${DRACUT_CONF}/nightlatch-driver.conf && ${rebuild}`;
    case "mkinitcpio":
      return `add ${driver} to MODULES in /etc/mkinitcpio.conf, then: ${rebuild}`;
  }
}

/**
 * Tells a person how to put a file of the system into the initramfs, at the same place.
 * @param what a word for the name of its configuration
 */
export function addFile({ generator, rebuild }: Mending, path: string, what: string): string {
  switch (generator) {
    case "initramfs-tools": {
      const hook = `/etc/initramfs-tools/hooks/nightlatch-${what}`;
      const lines = [
        "#!/bin/sh",
        '[ "$1" = prereqs ] && exit 0',
        ". /usr/share/initramfs-tools/hook-functions",
        `copy_file ${what} ${path}`,
      ];
      return `printf '%s\\n' ${lines.map((line) => `'${line}'`).join(" ")} > ${hook} && chmod 755 ${hook} && ${rebuild}`;
    }
    case "dracut":
      return `echo 'install_items+=" ${path} "' > ${DRACUT_CONF}/nightlatch-${what}.conf && ${rebuild}`;
    case "mkinitcpio":
      return `add ${path} to FILES in /etc/mkinitcpio.conf, then: ${rebuild}`;
  }
}

/**
 * Tells a person how to have dracut's initramfs say a word of the kernel's command line by itself,
 * whatever the boot loader says.
 */
export function addDracutWord({ rebuild }: Mending, word: string, what: string): string {
  return `echo 'kernel_cmdline+=" ${word} "' > ${DRACUT_CONF}/nightlatch-${what}.conf && ${rebuild}`;
}
