// @ts-nocheck
import { type Binding, bindingJson, describeToken, formatBinding, listBindings } from "../../../bindings/binding.ts";
import { proveEveryShare, proveOverNetwork } from "../../../bindings/recovery.ts";
import { isError, NightlatchError } from "../../../core/errors.ts";
import { formatFlattenedJwe } from "../../../formats/jose/jwe.ts";
import { type Removal, tokenDigest } from "../../../formats/own/intent.ts";
import { planRemovals } from "../../../luks/change/authority.ts";
import type { HeldVolume } from "../../../luks/change/begin.ts";
import { bindVolume, requireRoom } from "../../../luks/change/bind.ts";
import { type Change, proveToken, readHeader, type Settled } from "../../../luks/change/change.ts";
import { makePassphrase } from "../../../luks/cryptsetup/passphrase.ts";
import { describePin } from "../../../pins/nested.ts";
import type { Seal } from "../../../pins/pin.ts";
import type { ShareOutcome } from "../../../pins/recover.ts";
import type { Terminal } from "../../command.ts";
import { askingForPins } from "../../volume/card-pin.ts";
import { beginVolumeChange, holdForChange } from "../../volume/change.ts";
import { settledJson } from "../../volume/change-report.ts";
import { namedSlots } from "../../volume/input.ts";
import type { Passphrases } from "../../volume/passphrases.ts";
import { recordLatches, recordVolume } from "../../volume/record.ts";
import type { BindInput } from "./options.ts";
import type { BindPlan } from "./plan.ts";

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

/**
 * Binds one volume, and tells of it.
 * @returns what it tells a program: docs/json.md
 * @throws NightlatchError as holdVolume, beginChange and bindVolume; and what the plan says
 */
export async function bindOne(
  input: BindInput,
  device: string,
  plan: BindPlan,
  passphrases: Passphrases,
): Promise<Record<string, unknown>> {
  const { system, terminal } = input;
  await using held = await holdForChange(input, device);
  const early = held.left.length > 0 ? null : await lookAhead(input, held, plan, []);
  if (early !== null && "bound" in early) return await alreadyBound(input, held, plan, early.bound, null);
  const unproved: ShareOutcome[] = [];
  const prove = proveEveryShare(askingForPins(system, terminal), terminal.signal, unproved);
  await using change = await beginVolumeChange(input, held, { passphrases, prove });
  const outlook = early ?? (await lookAhead(input, held, plan, change.settled));
  if ("bound" in outlook) return await alreadyBound(input, held, plan, outlook.bound, change);
  requireNotCancelled(terminal.signal);
  const { present, replaces, target, seal } = outlook;
  const { keyslot, token: bound } = await sealAndBind(input, change, plan, { seal, replaces });
  const binding = describeToken(bound);
  const asked = plan.asked ?? "The server";
  terminal.line(`Bound ${device}: ${target}, keyslot ${keyslot}. ${asked} was asked, and the keyslot opened.`);
  for (const { jwe, error } of unproved) terminal.line(`Not proved: ${describePin(jwe)}: ${error?.message}`);
  for (const old of present) terminal.line(`Removed: ${formatBinding(old)}`);
  terminal.line(`What happens at the next boot: nightlatch status ${device}`);
  return {
    ok: true,
    device,
    uuid: change.uuid,
    outcome: "bound",
    binding: bindingJson(binding),
    replaced: present.map(bindingJson),
    unproved: unproved.map(({ jwe, error }) => ({ pin: describePin(jwe), code: error?.code, message: error?.message })),
    ...settledJson(change),
  };
}

/**
 * Adds the keyslot and the token of a plan that was prepared, takes what it replaces away, and puts
 * it all on record.
 * @param before is called before the header is changed, with the digest of the token that it gets
 * @throws NightlatchError as bindVolume, and what sealing throws; the volume is as it was then
 */
export async function sealAndBind(
  input: BindInput,
  change: Change,
  plan: Pick<BindPlan, "finish">,
  { seal, replaces }: Pick<Outlook, "seal" | "replaces">,
  before: (digest: string) => Promise<void> = async () => {},
): ReturnType<typeof bindVolume> {
  using passphrase = makePassphrase(input.system);
  const token = { type: "clevis", jwe: formatFlattenedJwe(await seal(passphrase.reveal())) };
  // Before the header: a binding without a record would be trusted at its first use.
  await recordVolume(input, change);
  await before(tokenDigest(token));
  const bound = await bindVolume(input.system, change, { passphrase, token, replaces });
  await plan.finish(change);
  await recordLatches(input, change);
  return bound;
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
  const prove = proveOverNetwork(askingForPins(system, terminal), terminal.signal);
  const replaces = await planRemovals(system, { volume: held.volume, prove }, tokens, namedSlots(options.slot));
  if (options.replace && first === undefined) tellNothingReplaced(terminal, device, plan, bindings);
  requireNotCancelled(terminal.signal);
  return { present, replaces, ...(await plan.prepare(held)) };
}

function tellNothingReplaced(terminal: Terminal, device: string, { target }: BindPlan, all: readonly Binding[]): void {
  const has = all.length === 0 ? "It has none at all." : `These stay: ${all.map(formatBinding).join("; ")}.`;
  terminal.hint(`Nothing is replaced: ${device} has no binding to ${target}. ${has}`);
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
): Promise<Record<string, unknown>> {
  const { system, terminal } = input;
  const { volume, uuid } = held;
  const { device } = volume;
  const [keyslot] = binding.token.keyslots;
  if (keyslot === undefined) throw opensNothing(device, binding);
  const prove = proveOverNetwork(askingForPins(system, terminal), terminal.signal);
  await proveToken(system, { volume, prove }, binding.token, keyslot).catch((error: unknown) => {
    throw doesNotOpen(device, binding, keyslot, error);
  });
  await plan.finish(held);
  if (change !== null) {
    await recordVolume(input, change);
    await recordLatches(input, change);
  }
  const asked = plan.asked ?? "The server";
  terminal.line(`${device} is bound already: ${formatBinding(binding)}. ${asked} was asked, and the keyslot opened.`);
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

/** Of a binding that may be in order: who opens it is away, or was given a wrong PIN, or none. */
const MAY_PASS =
  /^(?:net|system)\/|^pin\/(?:busy|locked|needs-person)$|^tpm2\/(?:no-chip|silent|busy|wrong-pin|few-tries|lockout)$|^card\/(?:absent|pin-needed|wrong-pin|few-tries)$/;

/**
 * A server that does not answer now is no reason to bind anew, which could not be done without it
 * either.
 */
function doesNotOpen(device: string, binding: Binding, keyslot: number, error: unknown): unknown {
  if (!isError(error) || error.code === "usage/cancelled") return error;
  const passes = MAY_PASS.test(error.code);
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
