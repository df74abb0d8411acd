// @ts-nocheck
import { type Binding, bindingJson, describeToken, formatBinding, listBindings } from "../../../bindings/binding.ts";
import { proveEveryShare, proveOverNetwork } from "../../../bindings/recovery.ts";
import { isError, NightlatchError } from "../../../core/errors.ts";
import { shellWord } from "../../../core/text.ts";
import type { Removal } from "../../../formats/own/intent.ts";
import { bootId } from "../../../host/boot-id.ts";
import { planRemovals } from "../../../luks/change/authority.ts";
import type { HeldVolume } from "../../../luks/change/begin.ts";
import { type Change, readHeader, type Settled } from "../../../luks/change/change.ts";
import { recordPair } from "../../../luks/rotation-record.ts";
import { describePin } from "../../../pins/nested.ts";
import type { ShareOutcome } from "../../../pins/recover.ts";
import { describeFailure } from "../../report.ts";
import { askingForPins } from "../../volume/card-pin.ts";
import { beginVolumeChange, holdForChange } from "../../volume/change.ts";
import { settledJson } from "../../volume/change-report.ts";
import type { Passphrases } from "../../volume/passphrases.ts";
import type { BindInput } from "../bind/options.ts";
import { planAgain } from "../bind/pins.ts";
import type { BindPlan } from "../bind/plan.ts";
import { sealAndBind } from "../bind/volume.ts";
import { whyUntold } from "./boot-proof.ts";
import { hasOthers, isFirst, type Pair, putBehind, stuck, tellLatchLeft } from "./former.ts";
import { endFormerKeys } from "./latch-key.ts";

/** A binding that gets new keys. */
interface Turn {
  readonly former: Binding;
  readonly plan: BindPlan;
  /** What takes the former one away, once the new one is proved. */
  readonly removal: Removal;
}

/** A binding that stays as it is, and why. */
interface Failed {
  readonly former: Binding;
  readonly error: NightlatchError;
}

interface Choice {
  readonly turns: readonly Turn[];
  /** Bindings of pins that are not ours to bind to. */
  readonly skipped: readonly Binding[];
  readonly failed: readonly Failed[];
}

/**
 * Gives each binding of a volume new keys, one after the other, and tells of it. A binding whose
 * server fails stays as it is.
 * @param keepsFormer the former bindings stay: an initramfs opens the volume by them
 * @returns what it tells a program: docs/json.md
 * @throws NightlatchError as holdVolume, beginChange and bindVolume; and where nothing can be done,
 *   why
 */
export async function rotateVolume(
  input: BindInput,
  device: string,
  { keepsFormer, passphrases }: { readonly keepsFormer: boolean; readonly passphrases: Passphrases },
): Promise<Record<string, unknown>> {
  const { system, terminal } = input;
  await using held = await holdForChange(input, device);
  const early = held.left.length > 0 ? null : await choose(input, held, { keepsFormer, settled: [] });
  if (early !== null) refuseIfNothing(early, device);
  const unproved: ShareOutcome[] = [];
  const prove = proveEveryShare(askingForPins(system, terminal), terminal.signal, unproved);
  await using change = await beginVolumeChange(input, held, { passphrases, prove });
  const {
    turns,
    skipped,
    failed: unable,
  } = early ?? (await choose(input, held, { keepsFormer, settled: change.settled }));
  const failed = [...unable];
  const rotated: Record<string, unknown>[] = [];
  for (const turn of turns) {
    const { former } = turn;
    try {
      const binding = await rotateOne(input, change, turn, keepsFormer);
      for (const { jwe, error } of unproved) terminal.line(`Not proved: ${describePin(jwe)}: ${error?.message}`);
      rotated.push({ binding: bindingJson(binding), former: bindingJson(former), removed: !keepsFormer });
    } catch (error) {
      if (!isError(error) || !isItsOwn(error)) throw error;
      failed.push({ former, error });
    } finally {
      turn.plan.end?.();
    }
  }
  for (const binding of skipped)
    terminal.line(`Left as it is: ${formatBinding(binding)}, whose pin is not rotated here.`);
  await endFormerKeys(input, change.stateFolder, await readHeader(system, change));
  for (const { former, error } of failed) {
    terminal.hint(`nightlatch: ${formatBinding(former)} stays as it is.\n${describeFailure(error).text}`);
  }
  return {
    ok: failed.length === 0,
    device,
    uuid: change.uuid,
    rotated,
    skipped: skipped.map(bindingJson),
    failed: failed.map(({ former, error: { code, message } }) => ({ binding: bindingJson(former), code, message })),
    ...settledJson(change),
  };
}

async function rotateOne(
  input: BindInput,
  change: Change,
  { former, plan, removal }: Turn,
  keepsFormer: boolean,
): Promise<Binding> {
  const { terminal } = input;
  const { device } = change.volume;
  const { seal, target } = await plan.prepare(change);
  const boot = await bootId(input.system);
  const pairWith = (next: string) => ({ boot, pair: { former: former.token.digest, next } });
  const record = (next: string) => recordPair(input.system, change.stateFolder, change.uuid, pairWith(next));
  const replaces = keepsFormer ? [] : [removal];
  const bound = await sealAndBind(input, change, plan, { seal, replaces }, keepsFormer ? record : undefined);
  terminal.line(`Rotated ${device}: ${target}, keyslot ${bound.keyslot}. It was asked, and the keyslot opened.`);
  if (keepsFormer) {
    const next = describeToken(bound.token);
    await keepBehind(input, change, { former, next });
    return next;
  }
  terminal.line(`Removed: ${formatBinding(former)}`);
  const next = describeToken(bound.token);
  tellLatchLeft(terminal, { former, next });
  return next;
}

/** What stays beside its successor, and goes once a boot has used that. */
async function keepBehind(input: BindInput, change: Change, pair: Pair): Promise<void> {
  const { terminal } = input;
  const { device } = change.volume;
  terminal.line(`An initramfs opens ${device}, so the former one stays: ${formatBinding(pair.former)}.`);
  const untold = whyUntold(pair, await hasOthers(input, change, pair));
  const finish = `nightlatch rotate --finish ${shellWord(device)}`;
  if (untold !== null) {
    terminal.line(`No boot will tell that it is needed no more: ${untold}.`);
    terminal.line(`Once the machine has come up: ${finish}`);
    return;
  }
  if (!isFirst(pair)) {
    const unmoved = await putBehind(input, change, pair);
    if (unmoved !== null) {
      terminal.line(stuck(device, unmoved));
      return;
    }
    terminal.line("It was moved behind the new one, which a boot tries first from now on.");
  }
  terminal.line(`It goes by itself once a boot has opened by the new one. At once: ${finish}`);
}

/** Failures of one binding, which leave the volume as it was and say nothing of the others. */
const isItsOwn = ({ code }: NightlatchError): boolean =>
  /^(?:net|pin|tang|jw[ekst]|json|clevis|enrolment|invite|machine|latch)\/|^luks\/no-(?:keyslot|token-slot)$/.test(
    code,
  );

/** @param settled what an earlier run had left: what it completed is rotated already */
async function choose(
  input: BindInput,
  held: HeldVolume,
  { keepsFormer, settled }: { readonly keepsFormer: boolean; readonly settled: readonly Settled[] },
): Promise<Choice> {
  const { system, terminal } = input;
  const done = new Set(settled.map(({ added }) => added?.digest));
  const bindings = listBindings(await readHeader(system, held)).filter(({ token }) => !done.has(token.digest));
  const prove = proveOverNetwork(askingForPins(system, terminal), terminal.signal);
  const turns: Turn[] = [];
  const skipped: Binding[] = [];
  const failed: Failed[] = [];
  for (const former of bindings) {
    try {
      const plan = await planAgain(input, former);
      const removals = { volume: held.volume, prove };
      const isTwice = bindings.some((other) => other !== former && plan?.isSameTarget(other));
      if (keepsFormer && plan !== null && isTwice) throw leftTwice(held.volume.device, plan);
      if (plan === null) skipped.push(former);
      else
        for (const removal of await planRemovals(system, removals, [former.token], NOBODY))
          turns.push({ former, plan, removal });
    } catch (error) {
      if (!isError(error) || error.code === "usage/cancelled") throw error;
      failed.push({ former, error });
    }
  }
  return { turns, skipped, failed };
}

/** Each run would add one more. */
function leftTwice(device: string, { target }: BindPlan): NightlatchError {
  return new NightlatchError("usage/wrong", `${device} has two bindings to ${target}, as a rotation leaves them`, {
    meaning: "Nothing was changed.",
    remedy: `Once the machine has come up, remove the former: nightlatch rotate --finish ${shellWord(device)}`,
  });
}

const NOBODY: ReadonlySet<number> = new Set();

/** Before a passphrase is typed for nothing. */
function refuseIfNothing({ turns, skipped, failed }: Choice, device: string): void {
  const [first] = failed;
  if (turns.length > 0) return;
  if (first !== undefined) throw first.error;
  const what =
    skipped.length === 0
      ? "has no binding"
      : `has no binding that is rotated here: ${skipped.map(formatBinding).join("; ")}`;
  throw new NightlatchError("luks/not-bound", `${device} ${what}`, { meaning: "Nothing was changed." });
}
