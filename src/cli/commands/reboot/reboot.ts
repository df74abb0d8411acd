import { isError, NightlatchError } from "../../../core/errors.ts";
import { undoDefault } from "../../../reboot/default-handler.ts";
import { startSoftReboot } from "../../../reboot/go.ts";
import { requireNoHindrance } from "../../../reboot/hindrance.ts";
import { requireSoftReboot } from "../../../reboot/plan/soft.ts";
import type { Command, CommandInput, ExitStatus } from "../../command.ts";
import { STATE_OPTION } from "../../volume/input.ts";
import { stageAtShutdown } from "./at-shutdown.ts";
import { autoReboot } from "./auto.ts";
import { bindingsReboot } from "./bindings.ts";
import { YES_OPTION } from "./consent.ts";
import { kexecReboot } from "./kexec.ts";
import { oneshotReboot } from "./oneshot.ts";
import { forgetKey, makeDefaultHandler, rememberKey } from "./settings.ts";
import { takeBack, takeBackCalledOff } from "./take-back.ts";

export const command: Command = {
  name: "reboot",
  summary: "reboot into the next kernel without anybody typing a passphrase",
  maxOperands: 0,
  options: [
    {
      name: "via",
      value: "WAY",
      help: "kexec; bindings, an ordinary reboot where every volume opens by itself; soft, which keeps the running kernel; oneshot, a boot entry for one boot, with its keys on /boot; or auto: kexec, else bindings",
      default: "auto",
    },
    { name: "dry-run", help: "stage everything, say what would happen, take it all back" },
    { name: "cancel", help: "take back what is staged" },
    { name: "clean-up", help: "remove what an earlier boot staged, or what has expired; for the boot and the timer" },
    { name: "key-file", value: "FILE", help: "what opens the volumes, instead of asking; - is standard input" },
    YES_OPTION,
    { name: "entry", value: "ID", help: "another boot entry, by the boot loader's name for it" },
    { name: "kernel", value: "FILE", help: "this kernel, whatever the boot loader has" },
    { name: "initrd", value: "FILE,…", help: "initramfs of --kernel" },
    { name: "cmdline", value: "TEXT", help: "kernel command line, instead of the entry's" },
    { name: "remember", help: "keep a key on the encrypted root, so that later reboots ask nobody" },
    { name: "forget", help: "destroy that key and its keyslots, and take back what is staged" },
    {
      name: "make-default",
      help: "stage at every reboot of the system; needs bindings that open the volumes, or --remember once",
    },
    { name: "undo-default", help: "leave the system's reboots alone again" },
    { name: "at-shutdown", help: "stage if a reboot is under way; for the unit of --make-default" },
    {
      name: "called-off",
      help: "take back what is staged unless the system is going down; for the timer that each shutdown starts",
    },
    STATE_OPTION,
  ],
  details: [
    "Each LUKS volume that the next boot has to open gets one more keyslot with a random key, which goes to the new kernel in memory",
    "alone. After the boot the slot is removed. Whatever fails ends at the passphrase prompt, which every volume keeps.",
    "The passphrase is asked once where all volumes share it.",
    "Where kexec is not to be had and every volume opens by itself, tried just now, the reboot is an ordinary one.",
  ].join("\n"),
  run,
};

type Action = (input: CommandInput) => Promise<ExitStatus>;

const ACTIONS: Readonly<Record<string, Action>> = {
  cancel: (input) => takeBack(input, true),
  "clean-up": (input) => takeBack(input, false),
  "called-off": takeBackCalledOff,
  remember: rememberKey,
  forget: forgetKey,
  "make-default": makeDefaultHandler,
  "undo-default": async ({ system, terminal }) => {
    await undoDefault(system);
    terminal.line("The system's reboots are its own again.");
    terminal.result({ ok: true, default: false });
    return 0;
  },
  "at-shutdown": stageAtShutdown,
};

const WAYS: Readonly<Record<string, Action>> = {
  auto: autoReboot,
  kexec: kexecReboot,
  bindings: bindingsReboot,
  soft: softReboot,
  oneshot: oneshotReboot,
};

async function run(input: CommandInput): Promise<ExitStatus> {
  const named = [...Object.keys(ACTIONS), "dry-run"].filter((name) => input.switches.has(name));
  if (named.length > 1) {
    throw new NightlatchError("usage/wrong", `reboot: --${named.join(" and --")} exclude each other`);
  }
  const act = ACTIONS[named[0] ?? ""];
  if (act !== undefined) return act(input);
  const go = WAYS[String(input.options["via"])];
  if (go !== undefined) {
    await lookForHindrance(input);
    return go(input);
  }
  throw new NightlatchError("usage/wrong", `reboot: there is no way ${JSON.stringify(input.options["via"])}`, {
    remedy: "See: nightlatch reboot --help",
  });
}

/** Before anybody is asked for a passphrase. A dry run only says what would happen. */
async function lookForHindrance({ system, terminal, switches }: CommandInput): Promise<void> {
  try {
    await requireNoHindrance(system);
  } catch (error) {
    if (!switches.has("dry-run") || !isError(error, "reboot/not-now")) throw error;
    terminal.hint(`A reboot would be refused now: ${error.message}`);
  }
}

async function softReboot({ system, terminal, switches }: CommandInput): Promise<ExitStatus> {
  await requireSoftReboot(system);
  terminal.line("  via         soft reboot: user space anew, the running kernel and the open volumes stay");
  const dryRun = switches.has("dry-run");
  if (dryRun) terminal.line("That was a dry run: nothing was changed.");
  else await startSoftReboot(system);
  terminal.result({ ok: true, via: "soft", dryRun });
  return 0;
}
