import { NightlatchError } from "../core/errors.ts";
import type { Addition, Intent } from "../formats/intent.ts";
import { compareWithBackup, listBackups } from "./backup.ts";
import { type HeldToken, listTokens } from "./bindings.ts";
import { type Change, proveToken, readHeader, type Settled } from "./change.ts";
import type { VolumeHeader } from "./header.ts";
import type { ChangePower, HeldIntent } from "./ledger.ts";
import { carryOut, isWhole, killProvedSlot, otherTokensOf } from "./removal.ts";
import { findSlot } from "./slots.ts";

/** What of an addition is there. */
export interface Added {
  /** The slot bears our fingerprint, and no token of somebody else's refers to it. */
  readonly hasSlot: boolean;
  readonly token: HeldToken | null;
}

export function findAdded(header: VolumeHeader, adds: Addition): Added {
  const slot = findSlot(header, adds.keyslot);
  return {
    hasSlot:
      slot?.pbkdf2Iterations === adds.iterations && otherTokensOf(header, adds.keyslot, adds.digest).length === 0,
    token: listTokens(header).find((token) => token.digest === adds.digest) ?? null,
  };
}

/** Settles whatever intents are on record: docs/format/intent.md, "Settling what was left". */
export async function settleIntents(power: ChangePower, change: Change): Promise<readonly Settled[]> {
  const settled: Settled[] = [];
  for (const held of await change.ledger.listIntents(await readHeader(power, change))) {
    settled.push(await settleIntent(power, change, held));
  }
  return settled;
}

/** Carries an intent out, or undoes it where what it added does not prove to work. */
async function settleIntent(power: ChangePower, change: Change, held: HeldIntent): Promise<Settled> {
  const { intent } = held;
  const header = await readHeader(power, change);
  const added = intent.adds === null ? null : findAdded(header, intent.adds);
  const works = added === null || (await isDone(power, change, header, intent, added));
  if (!works) {
    await undo(power, change, held);
    return { intent, outcome: "undone", added: null };
  }
  for (const removal of intent.removes) await carryOut(power, change, removal);
  await close(power, change, held, await listBackups(power, change.stateFolder, change.uuid));
  return { intent, outcome: "completed", added: added?.token ?? null };
}

async function isDone(power: ChangePower, change: Change, header: VolumeHeader, intent: Intent, added: Added) {
  const { adds, removes } = intent;
  if (adds === null || added.token === null || !added.hasSlot || !added.token.keyslots.includes(adds.keyslot))
    return false;
  if (removes.some((removal) => !isWhole(header, removal))) return true; // removals begin after the proof only
  try {
    await proveToken(power, change, added.token, adds.keyslot);
    return true;
  } catch (error) {
    if (error instanceof NightlatchError) return false;
    throw error;
  }
}

/** Removes what an intent added, and the intent. The token goes first: stock clevis never sees one that opens nothing. */
export async function undo(power: ChangePower, change: Change, held: HeldIntent): Promise<void> {
  const { adds } = held.intent;
  if (adds !== null) {
    const { token } = findAdded(await readHeader(power, change), adds);
    if (token !== null) await change.ledger.removeToken(token);
    const { hasSlot } = findAdded(await readHeader(power, change), adds);
    if (hasSlot) await killProvedSlot(power, change, adds.keyslot);
  }
  await close(power, change, held, await listBackups(power, change.stateFolder, change.uuid));
}

/**
 * The end of a change: backups whose every slot is on the disk unharmed are removed, then the intent.
 * @returns backups that are kept, since they hold slots that the volume has no longer
 */
export async function close(
  power: ChangePower,
  change: Pick<Change, "volume" | "ledger">,
  held: HeldIntent,
  backups: readonly string[],
): Promise<readonly string[]> {
  const { adds, removes } = held.intent;
  const except = new Set(
    [adds?.keyslot ?? null, ...removes.map(({ keyslot }) => keyslot)].filter((slot) => slot !== null),
  );
  const kept = await removeBackups(power, change.volume.device, backups, except);
  await change.ledger.removeIntent(held);
  return kept;
}

/** @returns those that differ from the device in other slots than `except`, which are kept */
export async function removeBackups(
  power: ChangePower,
  device: string,
  backups: readonly string[],
  except: ReadonlySet<number>,
): Promise<readonly string[]> {
  const kept: string[] = [];
  for (const path of backups) {
    const changed = await compareWithBackup(power, device, path, except);
    if (changed === null || changed.length === 0) await power.removeFile(path);
    else kept.push(path);
  }
  return kept;
}
