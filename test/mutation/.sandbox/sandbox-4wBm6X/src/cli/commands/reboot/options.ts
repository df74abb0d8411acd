// @ts-nocheck
import type { EntryOptions } from "../../../boot/entry/entries.ts";
import { NightlatchError } from "../../../core/errors.ts";
import type { CommandInput, Option, Options } from "../../command.ts";
import { STATE_OPTION } from "../../volume/input.ts";

const YES_OPTION = {
  help: "do not ask whether keys may lie on an unencrypted /boot until the next boot is up",
} as const satisfies Option;

/** The options of `reboot`. */
export const REBOOT_OPTIONS = {
  via: {
    value: "WAY",
    help: "kexec; bindings, an ordinary reboot where every volume opens by itself; soft, which keeps the running kernel; oneshot, a boot entry for one boot, with its keys on /boot; or auto: kexec, else bindings",
    default: "auto",
  },
  "dry-run": { help: "stage everything, say what would happen, take it all back" },
  cancel: { help: "take back what is staged" },
  "clean-up": { help: "remove what an earlier boot staged, or what has expired; for the boot and the timer" },
  "key-file": { value: "FILE", help: "what opens the volumes, instead of asking; - is standard input" },
  yes: YES_OPTION,
  entry: { value: "ID", help: "another boot entry, by the boot loader's name for it" },
  kernel: { value: "FILE", help: "this kernel, whatever the boot loader has" },
  initrd: { value: "FILE,…", help: "initramfs of --kernel" },
  cmdline: { value: "TEXT", help: "kernel command line, instead of the entry's" },
  remember: { help: "keep a key on the encrypted root, so that later reboots ask nobody" },
  forget: { help: "destroy that key and its keyslots, and take back what is staged" },
  "make-default": {
    help: "stage at every reboot of the system; needs bindings that open the volumes, or --remember once",
  },
  "undo-default": { help: "leave the system's reboots alone again" },
  "at-shutdown": { help: "stage if a reboot is under way; for the unit of --make-default" },
  "called-off": {
    help: "take back what is staged unless the system is going down; for the timer that each shutdown starts",
  },
  state: STATE_OPTION,
} as const satisfies Options;

/** What `reboot` is run with. */
export type RebootInput = CommandInput<typeof REBOOT_OPTIONS>;

/** Options that choose another boot than the one that comes next. */
export const ENTRY_NAMES = ["entry", "kernel", "initrd", "cmdline"] as const;

/** Options that mean something to a part of what `reboot` does, and nothing to the rest. */
const PARTIAL_NAMES = ["key-file", ...ENTRY_NAMES] as const;

type PartialName = (typeof PARTIAL_NAMES)[number];

/** Lists those of some options that were given. */
export function givenOf<Name extends PartialName>(options: RebootInput["options"], names: readonly Name[]): Name[] {
  return names.filter((name) => options[name] !== undefined);
}

/**
 * Refuses what was given and would be passed over: somebody means something by it.
 * @param what what is done, as a person says it
 * @throws NightlatchError usage/wrong
 */
export function requireOnly(options: RebootInput["options"], what: string, taken: readonly PartialName[]): void {
  const [wrong] = givenOf(
    options,
    PARTIAL_NAMES.filter((name) => !taken.includes(name)),
  );
  if (wrong === undefined) return;
  throw new NightlatchError("usage/wrong", `reboot: --${wrong} says nothing to ${what}`, { remedy: "Leave it out." });
}

/** The options of every command that stages a boot. */
export const STAGING_OPTIONS = {
  "key-file": REBOOT_OPTIONS["key-file"],
  yes: YES_OPTION,
  entry: REBOOT_OPTIONS.entry,
  cmdline: REBOOT_OPTIONS.cmdline,
  state: STATE_OPTION,
} as const satisfies Options;

/** What such a command is run with. */
export type StagingInput = CommandInput<typeof STAGING_OPTIONS>;

/** Another boot entry than the one that comes next, or what to put in its place. */
export function entryOf(options: Partial<RebootInput["options"]>): EntryOptions {
  return {
    entry: options.entry ?? null,
    kernel: options.kernel ?? null,
    initrds: (options.initrd ?? "").split(",").filter((path) => path !== ""),
    cmdline: options.cmdline ?? null,
  };
}
