// @ts-nocheck
import { isError, NightlatchError } from "../../../core/errors.ts";
import { undoDefault } from "../../../reboot/default-handler.ts";
import { requireNoHindrance } from "../../../reboot/hindrance.ts";
import { defineCommand, type ExitStatus } from "../../command.ts";
import { rebootAtShutdown } from "./at-shutdown.ts";
import { cancel, cancelIfCalledOff } from "./cancel.ts";
import { makeDefaultHandler } from "./default-handler.ts";
import { REBOOT_OPTIONS, type RebootInput, requireOnly } from "./options.ts";
import { rememberKey, removeKey } from "./remember.ts";
import { WAYS } from "./ways.ts";

export const command = defineCommand({
  name: "reboot",
  summary: "reboot into the next kernel without anybody typing a passphrase",
  maxOperands: 0,
  options: REBOOT_OPTIONS,
  details: [
    "Each LUKS volume that the next boot has to open gets one more keyslot with a random key, which goes to the new kernel in memory",
    "alone. After the boot the slot is removed. Whatever fails ends at the passphrase prompt, which every volume keeps.",
    "The passphrase is asked once where all volumes share it.",
    "Where kexec is not to be had and every volume opens by itself, tried just now, the reboot is an ordinary one.",
  ].join("\n"),
  run,
});

type Action = (input: RebootInput) => Promise<ExitStatus>;

/** What is done in place of a reboot. */
const ACTIONS = {
  cancel: (input) => cancel(input, "all"),
  "clean-up": (input) => cancel(input, "stale"),
  "called-off": cancelIfCalledOff,
  remember: rememberKey,
  forget: removeKey,
  "make-default": makeDefaultHandler,
  "undo-default": async ({ system, terminal }) => {
    await undoDefault(system);
    terminal.line("The system's reboots are its own again.");
    terminal.result({ ok: true, default: false });
    return 0;
  },
  "at-shutdown": rebootAtShutdown,
} as const satisfies Partial<Record<keyof RebootInput["options"], Action>>;

/** Those that ask for a key. */
const ASKS_KEY: ReadonlySet<string> = new Set(["remember", "forget"]);

async function run(input: RebootInput): Promise<ExitStatus> {
  const actions = Object.keys(ACTIONS) as (keyof typeof ACTIONS)[];
  const named = ([...actions, "dry-run"] as const).filter((name) => input.options[name]);
  if (named.length > 1) {
    throw new NightlatchError("usage/wrong", `reboot: --${named.join(" and --")} exclude each other`);
  }
  const [only] = named;
  const { via } = input.options;
  if (only !== undefined && only !== "dry-run") {
    requireOnly(input.options, `--${only}`, ASKS_KEY.has(only) ? ["key-file"] : []);
    if (via !== REBOOT_OPTIONS.via.default) {
      throw new NightlatchError("usage/wrong", `reboot: --via says nothing to --${only}`, { remedy: "Leave it out." });
    }
    return ACTIONS[only](input);
  }
  const reboot = Object.hasOwn(WAYS, via) ? WAYS[via] : undefined;
  if (reboot !== undefined) {
    await lookForHindrance(input);
    return reboot(input);
  }
  throw new NightlatchError("usage/wrong", `reboot: there is no way ${JSON.stringify(via)}`, {
    remedy: "See: nightlatch reboot --help",
  });
}

/** Before anybody is asked for a passphrase. A dry run only says what would happen. */
async function lookForHindrance({ system, terminal, options }: RebootInput): Promise<void> {
  try {
    await requireNoHindrance(system);
  } catch (error) {
    if (!options["dry-run"] || !isError(error, "reboot/not-now")) throw error;
    terminal.hint(`A reboot would be refused now: ${error.message}`);
  }
}
