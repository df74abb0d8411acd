import { NightlatchError } from "../core/errors.ts";
import { formatFlattenedJwe } from "../formats/jwe.ts";
import { planRemovals } from "../luks/authority.ts";
import { bindVolume, requireRoom } from "../luks/bind.ts";
import { type Change, proveToken, readHeader } from "../luks/change.ts";
import { readVolumeHeader } from "../luks/header.ts";
import { makePassphrase } from "../luks/passphrase.ts";
import { refuseRequirements } from "../luks/requirements.ts";
import { sealToAdvertisement } from "../pins/tang.ts";
import { latchPlan } from "./bind-latch.ts";
import type { BindPlan } from "./bind-plan.ts";
import { tangPlan } from "./bind-tang.ts";
import { type Binding, bindingJson, describeToken, formatBinding, listBindings } from "./binding.ts";
import { settledJson } from "./change-report.ts";
import type { Command, CommandInput, ExitStatus } from "./command.ts";
import { beginVolumeChange } from "./volume-change.ts";
import { KEY_FILE_OPTION, namedSlots, STATE_OPTION } from "./volume-input.ts";

export const command: Command = {
  name: "bind",
  summary: "let a key server open a LUKS volume, beside its passphrase",
  operands: "DEV latch [INVITE] | DEV tang URL",
  minOperands: 2,
  maxOperands: 3,
  options: [
    KEY_FILE_OPTION,
    { name: "thumbprint", value: "THP", help: "of the tang server's signing key, instead of a question" },
    { name: "server", value: "URL", help: "which server's latch, where the machine is enrolled at several" },
    { name: "replace", help: "replace the volume's binding to this server, once the new one is proved" },
    { name: "slot", value: "N", help: "with --replace: the old keyslot, where its server does not prove it any more" },
    STATE_OPTION,
  ],
  details: `Adds a keyslot with a random passphrase, and a clevis token that the server's answer opens it with. Then the server is asked, and
the keyslot opened: a binding that does not work is taken back. The volume's own passphrase stays, and the server never learns a key.
A run that is cut short leaves a volume that opens as before; the next bind or unbind clears up.

  latch  on a Nightlatch server. INVITE is the line of nightlatch machine invite; - reads it from standard input. A machine that is
         enrolled needs none.
  tang   on any tang server, whose thumbprint tang-show-keys shows there.

DEV is an encrypted partition or an image file of one. It is changed by cryptsetup alone, after a backup of its header.`,
  run,
};

async function run(input: CommandInput): Promise<ExitStatus> {
  const { operands, switches, system, terminal } = input;
  const [device = "", pin, argument] = operands;
  const named = namedSlots(input);
  if (named.size > 0 && !switches.has("replace")) {
    throw new NightlatchError("usage/wrong", "bind: --slot goes with --replace, for the keyslot that is to go");
  }
  // A slip in DEV, or a reencryption, shows before anything is asked of a server or a person.
  refuseRequirements(await readVolumeHeader(system, device), device);
  const plan = await planOf(input, pin, argument);
  await using change = await beginVolumeChange(input, device);
  const present = listBindings(await readHeader(system, change)).filter((binding) => plan.isSameServer(binding));
  const settled = change.settled.find(({ added }) => present.some(({ token }) => token.digest === added?.digest));
  if (present.length > 0 && (settled !== undefined || !switches.has("replace"))) {
    return await alreadyBound(input, change, plan, present);
  }
  await requireRoom(system, change);
  const tokens = present.map((binding) => binding.token);
  const replaces = await planRemovals(system, change, tokens, named);
  refuseWhenCancelled(terminal.signal);
  const { url, advertisement } = await plan.prepare(change);
  using passphrase = makePassphrase(system);
  const jwe = sealToAdvertisement(system, url, advertisement, passphrase.reveal());
  const token = { type: "clevis", jwe: formatFlattenedJwe(jwe) };
  const { keyslot, token: bound } = await bindVolume(system, change, { passphrase, token, replaces });
  await plan.finish(change);
  terminal.line(`Bound ${device}: ${url}, keyslot ${keyslot}. The server was asked, and the keyslot opened.`);
  for (const old of present) terminal.line(`Removed: ${formatBinding(old)}`);
  terminal.line(`What happens at the next boot: nightlatch status ${device}`);
  terminal.result({
    ok: true,
    device,
    uuid: change.uuid,
    outcome: "bound",
    binding: bindingJson(describeToken(bound)),
    replaced: present.map(bindingJson),
    ...settledJson(change),
  });
  return 0;
}

function planOf(input: CommandInput, pin: string | undefined, argument: string | undefined): Promise<BindPlan> {
  if (pin === "latch") return latchPlan(input, argument);
  if (pin === "tang") return tangPlan(input, argument);
  throw new NightlatchError("usage/wrong", `bind: there is no pin ${JSON.stringify(pin)}`, {
    remedy: "Say latch or tang. See: nightlatch bind --help",
  });
}

/** Binding twice to one server gains nothing. That it works is proved all the same. */
async function alreadyBound(
  { operands, system, terminal }: CommandInput,
  change: Change,
  plan: BindPlan,
  present: readonly Binding[],
): Promise<ExitStatus> {
  const [device = ""] = operands;
  const [binding] = present;
  if (binding === undefined) throw new TypeError("there is a binding");
  const [keyslot] = binding.token.keyslots;
  if (keyslot === undefined) throw opensNothing(device, binding);
  await proveToken(system, change, binding.token, keyslot).catch((error: unknown) => {
    throw doesNotOpen(device, binding, error);
  });
  await plan.finish(change);
  terminal.line(`${device} is bound already: ${formatBinding(binding)}. The server was asked, and the keyslot opened.`);
  terminal.result({
    ok: true,
    device,
    uuid: change.uuid,
    outcome: "bound-already",
    binding: bindingJson(binding),
    replaced: [],
    ...settledJson(change),
  });
  return 0;
}

function opensNothing(device: string, binding: Binding): NightlatchError {
  return new NightlatchError("luks/not-proved", `${device} has a token for that server which belongs to no keyslot`, {
    meaning: "Nothing was changed.",
    remedy: `Remove it with nightlatch unbind ${device} --token ${binding.token.id}, or pass --replace.`,
  });
}

function doesNotOpen(device: string, binding: Binding, error: unknown): unknown {
  if (!(error instanceof NightlatchError)) return error;
  return new NightlatchError(error.code, `${device} is bound already (${formatBinding(binding)}): ${error.message}`, {
    meaning: "The binding does not open the volume now. Nothing was changed.",
    remedy: `${error.remedy ?? "Find out why the server does not release the key."} Or pass --replace to bind anew.`,
  });
}

function refuseWhenCancelled(signal: AbortSignal): void {
  if (signal.aborted) throw new NightlatchError("usage/cancelled", "cancelled", { meaning: "Nothing was changed." });
}
