// @ts-nocheck
import { isError, NightlatchError } from "../../../core/errors.ts";
import { shellWord } from "../../../core/text.ts";
import { requireRoom } from "../../../luks/change/bind.ts";
import { type Change, readHeader } from "../../../luks/change/change.ts";
import { addRecoveryKey } from "../../../luks/change/recovery.ts";
import { makeRecoveryKey } from "../../../luks/cryptsetup/passphrase.ts";
import type { HeldToken } from "../../../luks/header/bindings.ts";
import { listRecovery } from "../../../luks/header/typed.ts";
import { type CommandInput, defineCommand, type ExitStatus, type Options } from "../../command.ts";
import { holdForChange } from "../../volume/change.ts";
import { settledJson } from "../../volume/change-report.ts";
import { KEY_FILE_OPTION, STATE_OPTION } from "../../volume/input.ts";
import { BY_BINDING_OPTION, beginByAuthority } from "./authority.ts";
import { chooseHandOver, type HandOver } from "./hand-over.ts";
import { readLuks2 } from "./header.ts";

const OPTIONS = {
  page: { value: "FILE", help: "write it as a page to print, in memory or on an encrypted disk; it is not shown then" },
  print: { help: "write it to standard output, alone on a line; it is not shown then" },
  "no-confirm": { help: "do not ask for it back" },
  "by-binding": BY_BINDING_OPTION,
  "key-file": KEY_FILE_OPTION,
  state: STATE_OPTION,
} as const satisfies Options;

type Input = CommandInput<typeof OPTIONS>;

export const command = defineCommand({
  name: "recovery add",
  summary: "add a recovery key to a volume: shown once, for paper",
  operands: "DEV",
  minOperands: 1,
  maxOperands: 1,
  options: OPTIONS,
  details: `Makes a key of 256 random bits in systemd's form, and a keyslot for it with a systemd-recovery token. It is typed wherever a passphrase
of the volume is asked for. The key is shown on the terminal, on a screen that is wiped when Enter is pressed, and asked for again: only
then is the keyslot made. A run that is cut short before leaves the volume as it was. LUKS2 only.

Where no passphrase is known any more and a binding still opens the volume, --by-binding takes that for the authority.

  nightlatch recovery add /dev/vda3
  nightlatch recovery add /dev/vda3 --page /dev/shm/recovery.html
  nightlatch recovery add /dev/vda3 --print | age -e -r age1… > recovery.age`,
  run,
});

async function run(input: Input): Promise<ExitStatus> {
  const { operands, options, system, terminal } = input;
  const [device = ""] = operands;
  await readLuks2(system, device);
  const handOver = await chooseHandOver(system, terminal, options);
  await using held = await holdForChange(input, device);
  if (held.left.length === 0) await requireRoom(system, held);
  await using change = await beginByAuthority(input, held);
  const completed = change.settled.find(({ intent, added }) => intent.operation === "recovery-add" && added !== null);
  if (completed?.added != null) return tellCompleted(input, change, completed.added);
  await requireRoom(system, change);
  const header = await readHeader(system, change);
  for (const { keyslots } of listRecovery(header)) {
    terminal.hint(`${device} has a recovery key already, in keyslot ${keyslots.join(", ")}. It stays.`);
  }
  using key = makeRecoveryKey(system);
  await handOver.give(key, { device, uuid: change.uuid, label: header.version === 2 ? header.label : "" });
  const { keyslot, token } = await addRecoveryKey(system, change, key).catch(async (error: unknown) => {
    throw await isVoid(handOver, error);
  });
  if (handOver.page !== null) terminal.line(`The page is ${handOver.page}. Print it, then remove the file.`);
  // With --print standard output is the key's.
  const tell = options.print ? terminal.hint : terminal.line;
  tell(`${device} has a recovery key now: keyslot ${keyslot}, token ${token.id}. The keyslot was opened with it.`);
  if (!handOver.confirms) tell(`To be sure of what you have of it: nightlatch recovery test ${shellWord(device)}`);
  terminal.result({
    ok: true,
    device,
    uuid: change.uuid,
    outcome: "added",
    keyslot,
    token: token.id,
    page: handOver.page,
    confirmed: handOver.confirms,
    ...settledJson(change),
  });
  return 0;
}

/** What somebody has of a key that got no keyslot looks like one that opens the disk. */
async function isVoid(handOver: HandOver, error: unknown): Promise<unknown> {
  if (!isError(error)) return error;
  await handOver.takeBack();
  const { code, message, meaning, remedy, cause } = error;
  return new NightlatchError(code, message, {
    meaning: [meaning, "What you have of the key opens nothing: destroy it."].filter(Boolean).join(" "),
    ...(remedy === undefined ? {} : { remedy }),
    cause,
  });
}

/** The same command again, after one that was cut short when all was done but the clearing up. */
function tellCompleted({ operands, terminal }: Input, change: Change, token: HeldToken): ExitStatus {
  const [device = ""] = operands;
  const [keyslot] = token.keyslots;
  terminal.hint("No other key is made. To have one all the same, run the command again.");
  terminal.result({
    ok: true,
    device,
    uuid: change.uuid,
    outcome: "completed",
    keyslot,
    token: token.id,
    page: null,
    confirmed: false,
    ...settledJson(change),
  });
  return 0;
}
