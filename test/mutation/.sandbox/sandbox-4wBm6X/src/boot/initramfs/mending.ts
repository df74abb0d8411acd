// @ts-nocheck
import { trimEndOf } from "../../core/text.ts";
import type { Generator } from "./inspect.ts";

/** What makes an initramfs. */
export type GeneratorProgram = "initramfs-tools" | "dracut" | "mkinitcpio";

/**
 * How this machine installs packages and makes its initramfs, in commands that a person can run as
 * they are.
 */
export interface Mending {
  readonly program: GeneratorProgram;
  /** Makes the initramfs of every kernel anew. */
  readonly rebuild: string;
  readonly install: (name: string) => string;
}

/** The command that makes every initramfs anew, by generator. */
export const REBUILD: Readonly<Record<GeneratorProgram, string>> = {
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
export function mendingOf(program: GeneratorProgram, osRelease: ReadonlyMap<string, string>): Mending {
  const words = `${osRelease.get("ID") ?? ""} ${osRelease.get("ID_LIKE") ?? ""}`;
  const installer = INSTALLERS.find(([pattern]) => pattern.test(words))?.[1];
  return {
    program,
    rebuild: REBUILD[program],
    install: (name) => (installer === undefined ? `Install ${name}` : `${installer} ${name}`),
  };
}

/** Names the program that made an initramfs with these scripts in it. */
export function programOf(generator: Generator): GeneratorProgram {
  if (generator === "initramfs-tools") return "initramfs-tools";
  return generator.startsWith("dracut") ? "dracut" : "mkinitcpio";
}

/** One thing to do: what `check` prints for a person to type is what the set-up does itself. */
export type MendingStep =
  | { readonly kind: "install"; readonly name: string }
  | FileStep
  /** Makes the initramfs of every kernel anew. */
  | { readonly kind: "rebuild" };

/** A file of our own, in a folder that its generator reads. */
export interface FileStep {
  readonly kind: "file";
  readonly path: string;
  /** Lines, each with its end. */
  readonly text: string;
  readonly mode: 0o644 | 0o755;
}

/** The step that makes the initramfs of every kernel anew. */
export const REBUILD_STEP: MendingStep = { kind: "rebuild" };

/** Writes steps down as commands, a line each, that a person can type as they are. */
export function formatSteps(mending: Mending, steps: readonly MendingStep[]): string {
  return steps.map((step) => formatStep(mending, step)).join("\n");
}

function formatStep(mending: Mending, step: MendingStep): string {
  switch (step.kind) {
    case "install":
      return mending.install(step.name);
    case "rebuild":
      return mending.rebuild;
    case "file": {
      const lines = trimEndOf(step.text, "\n").split("\n");
      const write = `printf '%s\\n' ${lines.map((line) => `'${line}'`).join(" ")} > ${step.path}`;
      return step.mode === 0o755 ? `${write} && chmod 755 ${step.path}` : write;
    }
  }
}

/** dracut.conf(5) takes every file of its folder. */
const DRACUT_CONF = "/etc/dracut.conf.d";

const dracutConf = (what: string, line: string): FileStep => ({
  kind: "file",
  path: `${DRACUT_CONF}/nightlatch-${what}.conf`,
  text: `${line}\n`,
  mode: 0o644,
});

/** A hook that mkinitramfs runs (initramfs-tools(7)). */
const toolsHook = (what: string, lines: string): FileStep => ({
  kind: "file",
  path: `/etc/initramfs-tools/hooks/nightlatch-${what}`,
  text: `#!/bin/sh\n[ "$1" = prereqs ] && exit 0\n. /usr/share/initramfs-tools/hook-functions\n${lines}\n`,
  mode: 0o755,
});

/** What mends something: steps, or a sentence for a person where nothing here can do it. */
export interface Remedy {
  readonly remedy: string;
  /** Null where it takes a person. */
  readonly steps: readonly MendingStep[] | null;
}

/** A remedy of steps. */
export const remedyOf = (mending: Mending, steps: readonly MendingStep[]): Remedy => ({
  remedy: formatSteps(mending, steps),
  steps,
});

/** A remedy that takes a person. */
export const byHand = (remedy: string): Remedy => ({ remedy, steps: null });

/**
 * Puts kernel modules into the initramfs, which loads them.
 * @param what a word for the name of its configuration
 */
export function addDriver(mending: Mending, drivers: readonly string[], what: string): Remedy {
  const lines = drivers.map((driver) => `force_load ${driver}`).join("\n");
  const words = drivers.join(" ");
  switch (mending.program) {
    case "initramfs-tools":
      return remedyOf(mending, [toolsHook(what, lines), REBUILD_STEP]);
    case "dracut":
      return remedyOf(mending, [dracutConf(what, `add_drivers+=" ${words} "`), REBUILD_STEP]);
    case "mkinitcpio":
      return byHand(`add ${words} to MODULES in /etc/mkinitcpio.conf, then: ${mending.rebuild}`);
  }
}

/**
 * Puts a file of the system into the initramfs, at the same place.
 * @param what a word for the name of its configuration
 */
export function addFile(mending: Mending, path: string, what: string): Remedy {
  switch (mending.program) {
    case "initramfs-tools":
      return remedyOf(mending, [toolsHook(what, `copy_file ${what} ${path}`), REBUILD_STEP]);
    case "dracut":
      return remedyOf(mending, [dracutConf(what, `install_items+=" ${path} "`), REBUILD_STEP]);
    case "mkinitcpio":
      return byHand(`add ${path} to FILES in /etc/mkinitcpio.conf, then: ${mending.rebuild}`);
  }
}

/**
 * Writes down the network of an initramfs, for the hooks of the package.
 * @param text docs/format/initramfs-network.md
 */
export function setNetwork(mending: Mending, text: string): Remedy {
  const file = (path: string): Remedy => remedyOf(mending, [{ kind: "file", path, text, mode: 0o644 }, REBUILD_STEP]);
  switch (mending.program) {
    case "initramfs-tools":
      return file("/etc/initramfs-tools/conf.d/nightlatch-network");
    case "dracut":
      return file(`${DRACUT_CONF}/nightlatch-address.conf`);
    case "mkinitcpio":
      return byHand("write ip= on the kernel's command line");
  }
}

/**
 * Has dracut's initramfs say a word of the kernel's command line by itself, whatever the boot
 * loader says.
 */
export function addDracutWord(mending: Mending, word: string, what: string): Remedy {
  return remedyOf(mending, [dracutConf(what, `kernel_cmdline+=" ${word} "`), REBUILD_STEP]);
}
