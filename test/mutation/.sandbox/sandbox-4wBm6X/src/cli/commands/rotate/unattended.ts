// @ts-nocheck
import { type Binding, bindingJson, describeToken, formatBinding, listBindings } from "../../../bindings/binding.ts";
import { askersOf, findRotated } from "../../../bindings/rotation.ts";
import { bootId } from "../../../host/boot-id.ts";
import { whyNotBound } from "../../../luks/bound/bound.ts";
import type { HeldVolume } from "../../../luks/change/begin.ts";
import { type Change, readHeader } from "../../../luks/change/change.ts";
import { readRotation, recordPair, tidyRotation } from "../../../luks/rotation-record.ts";
import { holdForChange } from "../../volume/change.ts";
import type { BindInput } from "../bind/options.ts";
import { planAgain } from "../bind/pins.ts";
import { sealAndBind } from "../bind/volume.ts";
import { whyUnproved, whyUntold } from "./boot-proof.ts";
import {
  beginByBinding,
  hasOthers,
  isFirst,
  listFormers,
  type Pair,
  putBehind,
  removeFormer,
  stuck,
} from "./former.ts";
import { endFormerKeys } from "./latch-key.ts";
import { attempt, type Done, tell } from "./outcome.ts";
import { RotationWindow } from "./window.ts";

/** What is done to a volume that is held. */
interface Run {
  readonly input: BindInput;
  readonly held: HeldVolume;
  readonly window: RotationWindow;
  readonly done: Done;
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
  const done: Done = { rotated: [], removed: [], kept: [], waiting: [], failed: [] };
  if (!(await hasWork(input, held))) {
    const isAtRest = refusal === null && held.left.length === 0;
    const ended = isAtRest ? await endFormerKeys(input, stateFolder, await readHeader(system, held)) : [];
    return tell(input, device, uuid, { ...done, ended });
  }
  if (refusal !== null) throw refusal;
  {
    await using window = new RotationWindow(system, stateFolder, input.terminal.signal);
    await follow({ input, held, window, done }, isEarly);
  }
  const ended = await endFormerKeys(input, stateFolder, await readHeader(system, held));
  return tell(input, device, uuid, { ...done, ended });
}

async function follow(run: Run, isEarly: () => Promise<boolean>): Promise<void> {
  const { input, held, done } = run;
  const { system, terminal } = input;
  const { stateFolder } = held;
  await settle(run);
  await tidyRotation(system, stateFolder, await readHeader(system, held));
  for (const binding of await listTurned(input, held)) {
    await attempt(run, binding, async () => {
      const next = await turn(run, binding);
      if (next !== null) done.rotated.push({ binding: bindingJson(next), former: bindingJson(binding) });
    });
  }
  const { pairs, madeIn } = await listFormers(input, held);
  const early = pairs.length > 0 && (await isEarly());
  for (const pair of pairs) {
    await attempt(run, pair.former, async () => {
      const around = { madeIn, hasOthers: await hasOthers(input, held, pair), signal: terminal.signal };
      const why = early ? await whyUnproved(system, stateFolder, pair, around) : null;
      if (why === null) await remove(run, pair);
      else await keep(run, pair, why);
    });
  }
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
async function settle(run: Run): Promise<void> {
  const { input, held, done } = run;
  if (held.left.length === 0) return;
  for (const binding of listBindings(await readHeader(input.system, held))) {
    const before = done.failed.length + done.waiting.length;
    await attempt(run, binding, async () => {
      await using _ = await begin(run, binding);
    });
    if (done.failed.length + done.waiting.length > before) continue;
    done.failed.splice(0);
    done.waiting.splice(0);
    return;
  }
}

/** Begins a change by the authority of a binding, in a window where its server wants one. */
async function begin({ input, held, window }: Run, binding: Binding): Promise<Change> {
  await window.open(listBindings(await readHeader(input.system, held)).flatMap(({ urls }) => urls));
  return await beginByBinding(input, held, binding);
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
async function turn(run: Run, former: Binding): Promise<Binding | null> {
  const { input, held } = run;
  const { system, terminal } = input;
  const { uuid, stateFolder } = held;
  const { device } = held.volume;
  const plan = await planAgain(input, former);
  if (plan === null) return null;
  try {
    await using change = await begin(run, former);
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

async function remove(run: Run, pair: Pair): Promise<void> {
  await using change = await begin(run, pair.next);
  await removeFormer(run.input, change, pair);
  run.done.removed.push(bindingJson(pair.former));
}

async function keep(run: Run, pair: Pair, why: string): Promise<void> {
  const { input, held, done } = run;
  const { terminal } = input;
  terminal.line(`It stays for now: ${formatBinding(pair.former)}: ${why}.`);
  done.kept.push({ ...bindingJson(pair.former), why });
  if (isFirst(pair) || whyUntold(pair, await hasOthers(input, held, pair)) !== null) return;
  await using change = await begin(run, pair.next);
  const unmoved = await putBehind(input, change, pair);
  if (unmoved !== null) terminal.line(stuck(held.volume.device, unmoved));
}
