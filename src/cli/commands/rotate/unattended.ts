import { type Binding, bindingJson, describeToken, formatBinding, listBindings } from "../../../bindings/binding.ts";
import { askersOf, findRotated } from "../../../bindings/rotation.ts";
import { isError, type NightlatchError } from "../../../core/errors.ts";
import { bootId } from "../../../host/boot-id.ts";
import { whyNotBound } from "../../../luks/bound/bound.ts";
import type { HeldVolume } from "../../../luks/change/begin.ts";
import { readHeader } from "../../../luks/change/change.ts";
import { readRotation, recordPair, tidyRotation } from "../../../luks/rotation-record.ts";
import { describeFailure } from "../../report.ts";
import { holdForChange } from "../../volume/change.ts";
import type { BindInput } from "../bind/options.ts";
import { planAgain } from "../bind/pins.ts";
import { sealAndBind } from "../bind/volume.ts";
import { whyUnproved } from "./boot-proof.ts";
import { beginByBinding, isFirst, listFormers, type Pair, putBehind, removeFormer } from "./former.ts";
import { endFormerKeys } from "./latch-key.ts";

/** What came of a run over one volume. */
interface Done {
  readonly rotated: Record<string, unknown>[];
  readonly removed: Record<string, unknown>[];
  readonly kept: Record<string, unknown>[];
  readonly failed: { readonly binding: Binding; readonly error: NightlatchError }[];
}

/**
 * Does for one volume what needs nobody: bindings whose latches an operator has rotated are bound
 * anew, by the authority of the former, which opens the volume still; formers go once their
 * successor has opened a boot, or at once where no initramfs opens the volume; and the server is
 * told. Each is a change of its own, and what is cut short the next run goes on with.
 * docs/decisions/115-the-next-epoch.md
 * @param isEarly says whether an initramfs opens the volume
 * @returns what it tells a program: docs/json.md
 * @throws NightlatchError as holdVolume; luks/other-volume, luks/not-recorded
 */
export async function rotateUnattended(
  input: BindInput,
  device: string,
  isEarly: () => Promise<boolean>,
): Promise<Record<string, unknown>> {
  const { system } = input;
  await using held = await holdForChange(input, device);
  const { uuid, stateFolder } = held;
  const trust = { stateFolder, name: null, trust: "recorded" } as const;
  const refusal = await whyNotBound(system, device, await readHeader(system, held), trust);
  const done: Done = { rotated: [], removed: [], kept: [], failed: [] };
  if (!(await hasWork(input, held))) {
    const isAtRest = refusal === null && held.left.length === 0;
    const ended = isAtRest ? await endFormerKeys(input, stateFolder, await readHeader(system, held)) : [];
    return tell(input, device, uuid, { ...done, ended });
  }
  if (refusal !== null) throw refusal;
  await settle(input, held, done);
  await tidyRotation(system, stateFolder, await readHeader(system, held));
  for (const binding of await listTurned(input, held)) {
    await attempt(done, binding, async () => {
      const next = await follow(input, held, binding);
      if (next !== null) done.rotated.push({ binding: bindingJson(next), former: bindingJson(binding) });
    });
  }
  const { pairs, madeIn } = await listFormers(input, held);
  const early = pairs.length > 0 && (await isEarly());
  for (const pair of pairs) {
    await attempt(done, pair.former, async () => {
      const why = early
        ? await whyUnproved(system, stateFolder, pair.next, { madeIn, signal: input.terminal.signal })
        : null;
      if (why === null) await remove(input, held, pair, done);
      else await keep(input, held, pair, why, done);
    });
  }
  const ended = await endFormerKeys(input, stateFolder, await readHeader(system, held));
  return tell(input, device, uuid, { ...done, ended });
}

/**
 * Volumes of which nothing was rotated are none of this run's business, and neither is what another
 * command left there.
 */
async function hasWork(input: BindInput, held: HeldVolume): Promise<boolean> {
  const record = await readRotation(input.system, held.stateFolder, held.uuid);
  return record !== null || (await listTurned(input, held)).length > 0;
}

/** What an earlier run left is settled by whichever binding opens the volume. */
async function settle(input: BindInput, held: HeldVolume, done: Done): Promise<void> {
  if (held.left.length === 0) return;
  for (const binding of listBindings(await readHeader(input.system, held))) {
    const before = done.failed.length;
    await attempt(done, binding, async () => {
      await using _ = await beginByBinding(input, held, binding);
    });
    if (done.failed.length > before) continue;
    done.failed.splice(0);
    return;
  }
}

/** The bindings that have no successor yet, and of whose latches one has other keys now. */
async function listTurned(input: BindInput, held: HeldVolume): Promise<readonly Binding[]> {
  const { system, terminal } = input;
  const { pairs } = await listFormers(input, held);
  const formers = new Set(pairs.map(({ former }) => former.token.digest));
  const bindings = listBindings(await readHeader(system, held)).filter(({ token }) => !formers.has(token.digest));
  const asksLatch = (binding: Binding) => askersOf(binding).some(({ kind }) => kind === "latch");
  const rotated = bindings.filter(asksLatch).map(async (binding) => {
    const found = await findRotated(system, binding, terminal.signal);
    return found.some(({ url }) => askersOf(binding).some((leaf) => leaf.kind === "latch" && leaf.urls.includes(url)));
  });
  const isRotated = await Promise.all(rotated);
  return bindings.filter(asksLatch).filter((_, index) => isRotated[index]);
}

/** @returns the new binding; null where its pin is not bound to here */
async function follow(input: BindInput, held: HeldVolume, former: Binding): Promise<Binding | null> {
  const { system, terminal } = input;
  const { uuid, stateFolder } = held;
  const { device } = held.volume;
  const plan = await planAgain(input, former);
  if (plan === null) return null;
  try {
    await using change = await beginByBinding(input, held, former);
    const { seal, target } = await plan.prepare(change);
    const boot = await bootId(system);
    const record = (next: string) =>
      recordPair(system, stateFolder, uuid, { boot, pair: { former: former.token.digest, next } });
    const { keyslot, token } = await sealAndBind(input, change, plan, { seal, replaces: [] }, record);
    terminal.line(`Rotated ${device}: ${target}, keyslot ${keyslot}. It was asked, and the keyslot opened.`);
    return describeToken(token);
  } finally {
    plan.end?.();
  }
}

async function remove(input: BindInput, held: HeldVolume, pair: Pair, done: Done): Promise<void> {
  await using change = await beginByBinding(input, held, pair.next);
  await removeFormer(input, change, pair);
  done.removed.push(bindingJson(pair.former));
}

async function keep(input: BindInput, held: HeldVolume, pair: Pair, why: string, done: Done): Promise<void> {
  input.terminal.line(`It stays for now: ${formatBinding(pair.former)}: ${why}.`);
  done.kept.push({ ...bindingJson(pair.former), why });
  if (pair.next.kind !== "latch" || isFirst(pair)) return;
  await using change = await beginByBinding(input, held, pair.next);
  await putBehind(input, change, pair);
}

async function attempt(done: Done, binding: Binding, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!isError(error) || error.code === "usage/cancelled") throw error;
    done.failed.push({ binding, error });
  }
}

function tell(
  { terminal }: BindInput,
  device: string,
  uuid: string,
  { rotated, removed, kept, failed, ended }: Done & { readonly ended: readonly string[] },
): Record<string, unknown> {
  for (const { binding, error } of failed) {
    terminal.hint(`nightlatch: ${formatBinding(binding)} stays as it is.\n${describeFailure(error).text}`);
  }
  return {
    ok: failed.length === 0,
    device,
    uuid,
    rotated,
    removed,
    kept,
    ended,
    failed: failed.map(({ binding, error: { code, message } }) => ({ binding: bindingJson(binding), code, message })),
  };
}
