// @ts-nocheck
import { NightlatchError } from "../../../core/errors.ts";
import { requireNotCancelled } from "../../../reboot/conversation.ts";
import { stageByOneshot } from "../../../reboot/ways/oneshot.ts";
import { cancelStaged } from "../../../reboot/ways/staged-boot.ts";
import { type CommandInput, defineCommand, type ExitStatus, type Options } from "../../command.ts";
import { parseExpires } from "../../expires.ts";
import { stateFolderOf } from "../../volume/input.ts";
import { converse } from "../reboot/conversation.ts";
import { entryOf, STAGING_OPTIONS } from "../reboot/options.ts";
import { tellPerson, tellProgram } from "../reboot/report.ts";

const OPTIONS = {
  expires: { value: "TIME", help: "take it back by itself after this, such as 15m, 2h", default: "15m" },
  ...STAGING_OPTIONS,
} as const satisfies Options;

export const command = defineCommand({
  name: "oneshot arm",
  summary: "let the next boot, and no other, open the volumes by itself, whoever starts it",
  maxOperands: 0,
  options: OPTIONS,
  details: [
    "For machines without kexec, and for people who reboot by other means. Does not reboot. GRUB or systemd-boot takes an entry of ours",
    "once; its keys lie on /boot, readable by whoever takes or copies the disk, until the next boot has come up, nightlatch oneshot disarm,",
    "or TIME. So it asks first, or takes --yes. The default entry stays as it is.",
  ].join("\n"),
  run,
});

const MIN_MS = 60_000;
const MAX_MS = 24 * 3_600_000;

async function run(input: CommandInput<typeof OPTIONS>): Promise<ExitStatus> {
  const { options, system, terminal } = input;
  const lifeMs = parseExpires(options.expires);
  if (lifeMs < MIN_MS || lifeMs > MAX_MS) {
    throw new NightlatchError("usage/wrong", "oneshot arm: --expires is at least a minute and at most a day", {
      meaning: "Nothing was changed.",
    });
  }
  const stateFolder = stateFolderOf(options.state);
  const request = { stateFolder, entry: entryOf(options), lifeSeconds: lifeMs / 1000 };
  const boot = await stageByOneshot(system, request, converse(input));
  try {
    requireNotCancelled(terminal);
  } catch (error) {
    await cancelStaged(system, stateFolder, terminal);
    throw error;
  }
  const { expires } = boot;
  tellPerson(terminal, boot);
  const until = new Date(expires * 1000).toISOString();
  terminal.line(`  armed       until ${until}; to take it back: nightlatch oneshot disarm`);
  tellProgram(terminal, boot, { ok: true, expires });
  return 0;
}
