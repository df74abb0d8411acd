import { type Binding, bindingJson, describeToken, formatBinding, listBindings } from "../../../bindings/binding.ts";
import { proveOverNetwork } from "../../../bindings/recovery.ts";
import { isError, NightlatchError } from "../../../core/errors.ts";
import { formatFlattenedJwe } from "../../../formats/jose/jwe.ts";
import type { Removal } from "../../../formats/own/intent.ts";
import { planRemovals } from "../../../luks/change/authority.ts";
import type { HeldVolume } from "../../../luks/change/begin.ts";
import { bindVolume, requireRoom } from "../../../luks/change/bind.ts";
import { type Change, proveToken, readHeader, type Settled } from "../../../luks/change/change.ts";
import { makePassphrase } from "../../../luks/cryptsetup/passphrase.ts";
import { readVolumeHeader } from "../../../luks/header/header.ts";
import { refuseRequirements } from "../../../luks/header/requirements.ts";
import type { Seal } from "../../../pins/pin.ts";
import { defineCommand, type ExitStatus, type Terminal } from "../../command.ts";
import { beginVolumeChange, holdForChange } from "../../volume/change.ts";
import { settledJson } from "../../volume/change-report.ts";
import { namedSlots } from "../../volume/input.ts";
import { recordLatches, recordVolume } from "../../volume/record.ts";
import { setInitramfsUp } from "./initramfs.ts";
import { latchPlan } from "./latch.ts";
import { BIND_OPTIONS, type BindInput } from "./options.ts";
import type { BindPlan } from "./plan.ts";
import { tangPlan } from "./tang.ts";

export const command = defineCommand({
  name: "bind",
  summary: "let a key server open a LUKS volume, beside its passphrase",
  operands: "DEV latch [INVITE] | DEV tang URL",
  minOperands: 2,
  maxOperands: 3,
  options: BIND_OPTIONS,
  details: `Adds a keyslot with a random passphrase, and a clevis token that the server's answer opens it with. Then the server is asked, and
the keyslot opened: a binding that does not work is taken back. The volume's own passphrase stays, and the server never learns a key.
A run that is cut short leaves a volume that opens as before; the next bind or unbind clears up.

  latch  on a Nightlatch server. INVITE is the line of nightlatch machine invite; - reads it from standard input. A machine that is
         enrolled needs none.
  tang   on any tang server, whose thumbprint tang-show-keys shows there.

DEV is an encrypted partition or an image file of one. It is changed by cryptsetup alone, after a backup of its header.

Where the initramfs opens the volume, as it does the root, it is told what is lacking there, and set up after a yes: packages, files, and
the initramfs of each kernel made anew. The old one boots until the new one beside it was read back and proved.`,
  run,
});

/**
 * What is to be added, and removed for it. It is known before a passphrase is asked for, unless an
 * earlier run has left something.
 */
interface Outlook {
  readonly present: readonly Binding[];
  readonly replaces: readonly Removal[];
  readonly target: string;
  readonly seal: Seal;
}

async function run(input: BindInput): Promise<ExitStatus> {
  const { options, terminal } = input;
  if (options.setup && options["no-setup"]) {
    throw new NightlatchError("usage/wrong", "bind: --setup and --no-setup exclude each other");
  }
  const result = await bind(input);
  // The lock of the binding is given back by now: an initramfs takes minutes to make.
  const initramfs = await setInitramfsUp(input, String(result["device"]));
  terminal.result({ ...result, initramfs });
  return 0;
}

/** @returns what is told to a program */
async function bind(input: BindInput): Promise<Readonly<Record<string, unknown>>> {
  const { operands, options, system, terminal } = input;
  const [device = "", pin, argument] = operands;
  if (namedSlots(options.slot).size > 0 && !options.replace) {
    throw new NightlatchError("usage/wrong", "bind: --slot goes with --replace, for the keyslot that is to go");
  }
  // A slip in DEV, or a reencryption, shows before anything is asked of a server or a person.
  refuseRequirements(await readVolumeHeader(system, device), device);
  const plan = await planOf(input, pin, argument);
  await using held = await holdForChange(input, device);
  const early = held.left.length > 0 ? null : await lookAhead(input, held, plan, []);
  if (early !== null && "bound" in early) return await alreadyBound(input, held, plan, early.bound, null);
  await using change = await beginVolumeChange(input, held);
  const outlook = early ?? (await lookAhead(input, held, plan, change.settled));
  if ("bound" in outlook) return await alreadyBound(input, held, plan, outlook.bound, change);
  requireNotCancelled(terminal.signal);
  const { present, replaces, target, seal } = outlook;
  using passphrase = makePassphrase(system);
  const token = { type: "clevis", jwe: formatFlattenedJwe(await seal(passphrase.reveal())) };
  // Before the header: a binding without a record would be trusted at its first use.
  await recordVolume(input, change);
  const { keyslot, token: bound } = await bindVolume(system, change, { passphrase, token, replaces });
  await plan.finish(change);
  await recordLatches(input, change);
  terminal.line(`Bound ${device}: ${target}, keyslot ${keyslot}. The server was asked, and the keyslot opened.`);
  for (const old of present) terminal.line(`Removed: ${formatBinding(old)}`);
  terminal.line(`What happens at the next boot: nightlatch status ${device}`);
  return {
    ok: true,
    device,
    uuid: change.uuid,
    outcome: "bound",
    binding: bindingJson(describeToken(bound)),
    replaced: present.map(bindingJson),
    ...settledJson(change),
  };
}

/**
 * All that can be found out before a person types a passphrase: whether the volume is bound to that
 * server, whether there is room, whether what is to be replaced may go, and what the server says.
 * @param settled what an earlier run had left, which was settled just now
 */
async function lookAhead(
  input: BindInput,
  held: HeldVolume,
  plan: BindPlan,
  settled: readonly Settled[],
): Promise<Outlook | { readonly bound: Binding }> {
  const { options, system, terminal } = input;
  const { device } = held.volume;
  const bindings = listBindings(await readHeader(system, held));
  const present = bindings.filter((binding) => plan.isSameTarget(binding));
  const [first] = present;
  const isNew = settled.some(({ added }) => present.some(({ token }) => token.digest === added?.digest));
  if (first !== undefined && (isNew || !options.replace)) return { bound: first };
  await requireRoom(system, held);
  const tokens = present.map((binding) => binding.token);
  const prove = proveOverNetwork(system, terminal.signal);
  const replaces = await planRemovals(system, { volume: held.volume, prove }, tokens, namedSlots(options.slot));
  if (options.replace && first === undefined) tellNothingReplaced(terminal, device, plan, bindings);
  requireNotCancelled(terminal.signal);
  return { present, replaces, ...(await plan.prepare(held)) };
}

function tellNothingReplaced(terminal: Terminal, device: string, { target }: BindPlan, all: readonly Binding[]): void {
  const has = all.length === 0 ? "It has none at all." : `These stay: ${all.map(formatBinding).join("; ")}.`;
  terminal.hint(`Nothing is replaced: ${device} has no binding to ${target}. ${has}`);
}

function planOf(input: BindInput, pin: string | undefined, argument: string | undefined): Promise<BindPlan> {
  if (pin === "latch") return latchPlan(input, argument);
  if (pin === "tang") return tangPlan(input, argument);
  throw new NightlatchError("usage/wrong", `bind: there is no pin ${JSON.stringify(pin)}`, {
    remedy: "Say latch or tang. See: nightlatch bind --help",
  });
}

/**
 * Binding twice to one server gains nothing. That it works is proved all the same.
 * @param change what the passphrase was proved for; null where it was not asked for, and nothing
 * goes on record
 */
async function alreadyBound(
  input: BindInput,
  held: HeldVolume,
  plan: BindPlan,
  binding: Binding,
  change: Change | null,
): Promise<Readonly<Record<string, unknown>>> {
  const { system, terminal } = input;
  const { volume, uuid } = held;
  const { device } = volume;
  const [keyslot] = binding.token.keyslots;
  if (keyslot === undefined) throw opensNothing(device, binding);
  const prove = proveOverNetwork(system, terminal.signal);
  await proveToken(system, { volume, prove }, binding.token, keyslot).catch((error: unknown) => {
    throw doesNotOpen(device, binding, keyslot, error);
  });
  await plan.finish(held);
  if (change !== null) {
    await recordVolume(input, change);
    await recordLatches(input, change);
  }
  terminal.line(`${device} is bound already: ${formatBinding(binding)}. The server was asked, and the keyslot opened.`);
  return {
    ok: true,
    device,
    uuid,
    outcome: "bound-already",
    binding: bindingJson(binding),
    replaced: [],
    ...settledJson(change ?? { ...held, settled: [] }),
  };
}

function opensNothing(device: string, binding: Binding): NightlatchError {
  return new NightlatchError("luks/not-proved", `${device} has a token for that server which belongs to no keyslot`, {
    meaning: "Nothing was changed.",
    remedy: `Remove it with nightlatch unbind ${device} --token ${binding.token.id}, or pass --replace.`,
  });
}

/**
 * A server that does not answer now is no reason to bind anew, which could not be done without it
 * either.
 */
function doesNotOpen(device: string, binding: Binding, keyslot: number, error: unknown): unknown {
  if (!isError(error) || error.code === "usage/cancelled") return error;
  const passes = /^(?:net|system)\/|^pin\/(?:busy|locked)$/.test(error.code);
  const said = `${device} is bound already (${formatBinding(binding)})`;
  return new NightlatchError(error.code, `${said}, and does not open by it now: ${error.message}`, {
    meaning: passes ? "The binding may well be in order. Nothing was changed." : "Nothing was changed.",
    remedy: passes
      ? (error.remedy ?? "Try again when the server answers.")
      : `To bind it anew, if no passphrase of yours opens keyslot ${keyslot}: the same with --replace --slot ${keyslot}.`,
  });
}

function requireNotCancelled(signal: AbortSignal): void {
  if (signal.aborted) throw new NightlatchError("usage/cancelled", "cancelled", { meaning: "Nothing was changed." });
}
