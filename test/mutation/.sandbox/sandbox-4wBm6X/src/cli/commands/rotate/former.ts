// @ts-nocheck
import { tryBinding } from "../../../bindings/attempt.ts";
import { asksServer, type Binding, describeToken, formatBinding } from "../../../bindings/binding.ts";
import { proveOverNetwork, recoverOverNetwork } from "../../../bindings/recovery.ts";
import { isError } from "../../../core/errors.ts";
import type { Secret } from "../../../core/secret.ts";
import { shellWord } from "../../../core/text.ts";
import { isLatch } from "../../../formats/network/server-address.ts";
import { RECOVERY_TYPE } from "../../../formats/systemd/recovery-key.ts";
import { planRemovals } from "../../../luks/change/authority.ts";
import type { HeldVolume } from "../../../luks/change/begin.ts";
import { bindVolume } from "../../../luks/change/bind.ts";
import { type Change, readHeader } from "../../../luks/change/change.ts";
import { unbindVolume } from "../../../luks/change/unbind.ts";
import { listTokens } from "../../../luks/header/bindings.ts";
import { type HeldPair, listPairs, readRotation, tidyRotation } from "../../../luks/rotation-record.ts";
import { askingForPins } from "../../volume/card-pin.ts";
import { beginVolumeChange } from "../../volume/change.ts";
import type { VolumeInput } from "../../volume/input.ts";
import { recordRemoval } from "../../volume/record.ts";

/** A binding that was rotated, beside the one that takes its place. */
export interface Pair {
  readonly former: Binding;
  readonly next: Binding;
}

/**
 * Lists the bindings of a held volume that were rotated and stand beside their successors.
 * @returns and the boot in which the last of them was made
 * @throws NightlatchError machine/bad-state, file/*, and as readVolumeHeader
 */
export async function listFormers(
  { system }: Pick<VolumeInput, "system">,
  held: HeldVolume,
): Promise<{ readonly pairs: readonly Pair[]; readonly madeIn: string }> {
  const header = await readHeader(system, held);
  const record = await readRotation(system, held.stateFolder, held.uuid);
  const describe = ({ former, next }: HeldPair) => ({ former: describeToken(former), next: describeToken(next) });
  return { pairs: listPairs(header, record).map(describe), madeIn: record?.boot ?? "" };
}

/**
 * Begins a change by the authority of a binding: what its server releases is the passphrase. Nobody
 * is asked. The caller disposes it.
 * @throws NightlatchError as beginChange, and why the binding does not open the volume now
 */
export async function beginByBinding(input: VolumeInput, held: HeldVolume, binding: Binding): Promise<Change> {
  const { system, terminal } = input;
  const release = async (tries: number): Promise<Secret | null> => {
    if (tries > 0) return null;
    const attempt = await tryBinding(system, held.volume.device, binding, terminal.signal);
    if (attempt.secret === null) throw attempt.error;
    return attempt.secret;
  };
  return await beginVolumeChange(input, held, { passphrase: release });
}

/**
 * Takes a former binding away. What its own server releases has to open its keyslot, as with every
 * removal that names no slot; the successor, or the passphrase that began the change, is the way in
 * that stays.
 * @throws NightlatchError luks/*, system/*, file/*
 */
export async function removeFormer(input: VolumeInput, change: Change, pair: Pair): Promise<void> {
  const { system, terminal } = input;
  const prove = proveOverNetwork(askingForPins(system, terminal), terminal.signal);
  const removes = await planRemovals(system, { volume: change.volume, prove }, [pair.former.token], new Set());
  await unbindVolume(system, change, removes);
  await recordRemoval(input, change);
  await tidyRotation(system, change.stateFolder, await readHeader(system, change));
  terminal.line(`Removed from ${change.volume.device}: ${formatBinding(pair.former)}`);
  tellLatchLeft(terminal, pair);
}

/** Another latch is of no use any more, but a copy of the header may lie in a backup. */
export function tellLatchLeft(terminal: Pick<VolumeInput["terminal"], "line">, { former, next }: Pair): void {
  for (const url of former.urls.filter((one) => isLatch(one) && !asksServer(next, one))) {
    const id = url.slice(url.lastIndexOf("/") + 1);
    terminal.line(
      `Its latch is still at the server, where this destroys it: nightlatch machine revoke --latch -- ${id}`,
    );
  }
}

/** Whether the volume has bindings, or other programs' tokens, that may open it beside the two. */
export async function hasOthers(
  { system }: Pick<VolumeInput, "system">,
  held: Pick<HeldVolume, "volume">,
  { former, next }: Pair,
): Promise<boolean> {
  const own = new Set([former.token.id, next.token.id]);
  return listTokens(await readHeader(system, held)).some(
    // A recovery key is typed by a person, as a passphrase is.
    ({ id, keyslots, type }) => keyslots.length > 0 && !own.has(id) && type !== RECOVERY_TYPE,
  );
}

/** Says what a former binding that could not be moved means for a person. */
export function stuck(device: string, why: string): string {
  return (
    `It cannot be moved behind the new one, so that boots go on using it: ${why}. ` +
    `Once the machine has come up: nightlatch rotate --finish ${shellWord(device)}`
  );
}

/** Whether clevis comes to the new one first: it goes by keyslots, and others by tokens. */
export function isFirst({ former, next }: Pair): boolean {
  const [mine, other] = [next.token.keyslots[0] ?? 0, former.token.keyslots[0] ?? 0];
  return mine < other && next.token.id < former.token.id;
}

/**
 * Moves a former binding behind its successor, to another keyslot with the same passphrase and the
 * same token, so that clevis tries the new one first and the next boot tells of it. It is one
 * crash-safe change, and the volume opens by both throughout.
 * @returns why it stays where it is, as a clause; null where it was moved
 * @throws NightlatchError luks/*, system/*, file/*, and what the former's server says
 */
export async function putBehind(input: VolumeInput, change: Change, { former, next }: Pair): Promise<string | null> {
  const { system, terminal } = input;
  const { keyslots: _, ...token } = former.token.json;
  const prove = proveOverNetwork(askingForPins(system, terminal), terminal.signal);
  using passphrase = await recoverOverNetwork(askingForPins(system, terminal), former.token, terminal.signal);
  try {
    const replaces = await planRemovals(system, { volume: change.volume, prove }, [former.token], new Set());
    const behind = Math.max(...next.token.keyslots);
    await bindVolume(system, change, { passphrase, token, replaces, behind });
    return null;
  } catch (error) {
    // A LUKS1 header may have no room in luksmeta, or entries there that share bytes.
    const isFull = isError(error, "luks/no-keyslot") || isError(error, "luks/no-token-slot");
    if (isFull || isError(error, "luks/unsupported")) return error.message;
    throw error;
  }
}
