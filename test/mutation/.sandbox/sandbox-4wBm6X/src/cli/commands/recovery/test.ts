// @ts-nocheck
import { NightlatchError } from "../../../core/errors.ts";
import { readRecoveryKey } from "../../../formats/systemd/recovery-key.ts";
import { findOpenedAmong } from "../../../luks/cryptsetup/keyslots.ts";
import type { HeldToken } from "../../../luks/header/bindings.ts";
import { listSlots } from "../../../luks/header/slots.ts";
import { type CommandInput, defineCommand, type ExitStatus, type Options } from "../../command.ts";
import { readKeyFile, TRIES } from "../../volume/input.ts";
import { readLuks2, requireRecovery } from "./header.ts";

const OPTIONS = {
  "key-file": { value: "FILE", help: "the recovery key; a line end behind it does not count; - reads standard input" },
} as const satisfies Options;

type Input = CommandInput<typeof OPTIONS>;

export const command = defineCommand({
  name: "recovery test",
  summary: "ask for a recovery key, and see that it opens its keyslot",
  operands: "DEV",
  minOperands: 1,
  maxOperands: 1,
  options: OPTIONS,
  details: `Takes the key as it is on paper: with its dashes or without, in small letters or capitals. Every keyslot is tried that a
systemd-recovery token names, whether Nightlatch made it or systemd-cryptenroll. Nothing is changed, and nothing is mapped.`,
  run,
});

async function run(input: Input): Promise<ExitStatus> {
  const { operands, options, system, terminal } = input;
  const [device = ""] = operands;
  const header = await readLuks2(system, device);
  const tokens = requireRecovery(header, device);
  const named = new Set(tokens.flatMap(({ keyslots }) => keyslots));
  const slots = listSlots(header).filter(({ number, opensVolume }) => opensVolume && named.has(number));
  for (let tries = 0; tries < TRIES; tries++) {
    const given = await readKeyFile(options["key-file"], system, terminal);
    using typed = given ?? (await terminal.askSecret(`Recovery key of ${device}: `));
    using key = readRecoveryKey(withoutLineEnd(typed.reveal()));
    const found = key === null ? null : await findOpenedAmong(system, { device }, slots, key);
    if (found !== null) return tellFound(input, header.uuid, found, tokens);
    const why = key === null ? WRONG_FORM : "It opens no keyslot of a recovery key.";
    if (given !== null || tries === TRIES - 1) throw wrongKey(device, why, [...named]);
    terminal.hint(`${why} Try again.`);
  }
  throw new TypeError("nobody was asked");
}

const WRONG_FORM =
  "That is no recovery key: it has eight groups of eight letters of cbdefghijklnrtuv, and dashes between all or none.";

function tellFound(
  { operands, terminal }: Input,
  uuid: string,
  keyslot: number,
  tokens: readonly HeldToken[],
): ExitStatus {
  const [device = ""] = operands;
  const token = tokens.find(({ keyslots }) => keyslots.includes(keyslot))?.id ?? null;
  terminal.line(`This recovery key opens ${device}: keyslot ${keyslot}, token ${token}.`);
  terminal.result({ ok: true, device, uuid, keyslot, token });
  return 0;
}

function wrongKey(device: string, why: string, slots: readonly number[]): NightlatchError {
  return new NightlatchError("luks/wrong-passphrase", `${device}: ${why}`, {
    meaning: `Its recovery keys are in keyslot ${slots.join(", ")}. Nothing was changed.`,
    remedy: "If none of them is known any more: nightlatch recovery add, then nightlatch recovery remove.",
  });
}

function withoutLineEnd(bytes: Buffer): Buffer {
  let end = bytes.length;
  while (end > 0 && (bytes[end - 1] === 0x0a || bytes[end - 1] === 0x0d)) end--;
  return bytes.subarray(0, end);
}
