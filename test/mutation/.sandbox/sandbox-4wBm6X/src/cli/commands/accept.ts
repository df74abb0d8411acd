// @ts-nocheck
import { readVolumeHeader } from "../../luks/header/header.ts";
import { type CommandInput, defineCommand, type ExitStatus, type Options } from "../command.ts";
import { beginVolumeChange, holdForChange } from "../volume/change.ts";
import { KEY_FILE_OPTION, STATE_OPTION } from "../volume/input.ts";
import { recordLatches, recordVolume } from "../volume/record.ts";

const OPTIONS = { "key-file": KEY_FILE_OPTION, state: STATE_OPTION } as const satisfies Options;

type Input = CommandInput<typeof OPTIONS>;

export const command = defineCommand({
  name: "accept",
  summary: "put a volume on record as this machine's own",
  operands: "DEV",
  minOperands: 1,
  maxOperands: 1,
  options: OPTIONS,
  details: `For a volume that was reencrypted, restored or made anew, or that another program has bound: its bindings are not asked while
another volume is on record in its place. Asks for a passphrase, which proves that the volume is yours. Somebody else's volume
in its place has the same name and the same UUID, but your passphrase does not open it. The volume itself is not changed.`,
  run,
});

async function run(input: Input): Promise<ExitStatus> {
  const { operands, system, terminal } = input;
  const [device = ""] = operands;
  await readVolumeHeader(system, device); // a slip in DEV shows before anybody is asked
  await using held = await holdForChange(input, device);
  await using change = await beginVolumeChange(input, held);
  const replaced = await recordVolume(input, change);
  await recordLatches(input, change);
  terminal.line(`${device} is on record as a volume of this machine's.`);
  terminal.result({ ok: true, device, uuid: change.uuid, replaced });
  return 0;
}
