// @ts-nocheck
import { isError, NightlatchError } from "../../core/errors.ts";
import type { Secret } from "../../core/secret.ts";
import type { JsonObject } from "../../formats/json/json.ts";
import {
  type ChangeOperation,
  FIRST_ITERATIONS,
  ITERATION_COUNTS,
  type Removal,
  tokenDigest,
} from "../../formats/own/intent.ts";
import { addKeyslot } from "../cryptsetup/keyslots.ts";
import type { HeldToken } from "../header/bindings.ts";
import type { VolumeHeader } from "../header/header.ts";
import { countSlots, findFreeSlot, keyslotHashOf } from "../header/slots.ts";
import { type Change, proveToken, readHeader } from "./change.ts";
import { closeOrWarn, declare, requireOthers } from "./declaration.ts";
import type { ChangePower, HeldIntent } from "./ledger.ts";
import { carryOut, requireAnotherWay } from "./removal.ts";
import { findAdded, undo } from "./settle.ts";

interface BindRequest {
  /** For the new keyslot. */
  readonly passphrase: Secret;
  /** What seals it, without its keyslots. */
  readonly token: JsonObject;
  /** Removed once the new one is proved; what planRemovals found to be certain. */
  readonly replaces: readonly Removal[];
  /** The new keyslot is to have a larger number; any is taken where this is absent. */
  readonly behind?: number;
}

/** Any keyslot with a token that belongs to it, and how it is seen that it works. */
interface AddRequest extends BindRequest {
  readonly operation: ChangeOperation;
  /** What was not made where it fails, as in "the binding". */
  readonly what: string;
  /** @throws NightlatchError where it does not open the keyslot */
  prove(token: HeldToken, keyslot: number): Promise<void>;
}

interface Bound {
  readonly keyslot: number;
  readonly token: HeldToken;
}

/**
 * Makes sure that a binding can be added at all, before an invite is spent on it.
 * @throws NightlatchError luks/no-keyslot, luks/no-token-slot, luks/unsupported
 */
export async function requireRoom(
  system: Pick<ChangePower, "readAt">,
  change: Pick<Change, "volume" | "ledger">,
): Promise<void> {
  const header = await readHeader(system, change);
  chooseSlot(header, change.volume.device);
  change.ledger.requireRoom(header, null);
}

/**
 * Adds a keyslot and the token that seals its passphrase, proves that the token opens it, and then
 * removes what it replaces. Whatever fails before the proof is undone; whatever fails after it, or
 * is cut short, the next change settles.
 * @throws NightlatchError luks/*, system/*, file/*, and what `change.prove` throws
 */
export async function bindVolume(system: ChangePower, change: Change, request: BindRequest): Promise<Bound> {
  return await addToVolume(system, change, {
    ...request,
    operation: request.replaces.length > 0 ? "rebind" : "bind",
    what: "the binding",
    prove: (token, keyslot) => proveToken(system, change, token, keyslot),
  });
}

/**
 * Adds a keyslot and its token, as bindVolume does, with a proof of the caller's own.
 * @throws NightlatchError luks/*, system/*, file/*, and what `prove` throws
 */
export async function addToVolume(system: ChangePower, change: Change, request: AddRequest): Promise<Bound> {
  const { volume, ledger } = change;
  requireAnotherWay(change, request.replaces);
  const header = await readHeader(system, change);
  const keyslot = chooseSlot(header, volume.device, request.behind);
  ledger.requireRoom(header, JSON.stringify(request.token).length);
  const removes = request.replaces;
  const iterations = FIRST_ITERATIONS + (system.random(2).readUInt16BE() % ITERATION_COUNTS);
  const digest = tokenDigest(request.token);

  const adds = { keyslot, iterations, digest };
  const declared = await declare(system, change, header, { operation: request.operation, adds, removes });
  const { held } = declared;
  const token = await undoingFailures(system, change, held, request.what, async () => {
    const current = { passphrase: change.passphrase, slot: change.openedBy };
    const slot = { number: keyslot, iterations, hash: keyslotHashOf(header), passphrase: request.passphrase };
    await addKeyslot(system, volume, slot, current);
    await ledger.addToken(await readHeader(system, change), request.token, keyslot);
    const added = findAdded(await readHeader(system, change), held.record);
    const token = added?.token ?? null;
    if (token === null || added?.hasSlot !== true) throw notThere(volume.device);
    await requireOthers(system, change, declared);
    await request.prove(token, keyslot);
    return token;
  });
  for (const removal of removes) await carryOut(system, change, removal);
  await closeOrWarn(system, change, declared);
  return { keyslot, token };
}

async function undoingFailures<T>(
  system: ChangePower,
  change: Change,
  held: HeldIntent,
  what: string,
  add: () => Promise<T>,
): Promise<T> {
  try {
    return await add();
  } catch (error) {
    const keepsBackup = isError(error, "luks/harmed"); // which holds what is gone from the volume
    const undone = await undo(system, change, held, keepsBackup).then(
      () => true,
      () => false,
    );
    throw withMeaning(error, undone, what);
  }
}

function withMeaning(error: unknown, undone: boolean, what: string): unknown {
  if (!isError(error)) return error;
  const notMade = `T${what.slice(1)} was not made`;
  const isHarmed = isError(error, "luks/harmed");
  return new NightlatchError(error.code, error.message, {
    meaning: undone
      ? isHarmed
        ? `${notMade}. ${error.meaning}`
        : `${notMade}; the volume is as it was.`
      : `${notMade}. What is left of it opens nothing, and the next bind or unbind removes it.`,
    ...(error.remedy === undefined ? {} : { remedy: error.remedy }),
    cause: error.cause,
  });
}

function chooseSlot(header: VolumeHeader, device: string, behind = -1): number {
  const free = findFreeSlot(header, behind + 1);
  if (free !== null) return free;
  const { total } = countSlots(header);
  const which = behind < 0 ? `all ${total} keyslots` : `all keyslots behind number ${behind}`;
  throw new NightlatchError("luks/no-keyslot", `${device}: ${which} are taken`, {
    meaning: "Nothing was changed.",
    remedy: "Free one with cryptsetup luksKillSlot, or unbind what is not needed; see nightlatch status.",
  });
}

function notThere(device: string): NightlatchError {
  return new NightlatchError("luks/not-proved", `${device}: the header does not show what was written to it`);
}
