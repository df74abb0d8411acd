// @ts-nocheck
import { isError, NightlatchError } from "../core/errors.ts";
import { shellWord } from "../core/text.ts";
import { DEFAULT_AGENT_CONFIG, type VolumeTrust } from "../formats/own/agent-config.ts";
import { DISPOSABLE_TYPE, type DisposableRecord } from "../formats/own/disposable.ts";
import type { ChangeOperation, Intent } from "../formats/own/intent.ts";
import { whyNotBound } from "../luks/bound/bound.ts";
import { listBackups } from "../luks/change/backup.ts";
import { openLedger } from "../luks/change/begin.ts";
import { noteOf, readIntentRecord } from "../luks/change/records.ts";
import { listRecords } from "../luks/disposable-record.ts";
import { type HeldToken, isTokenOf, listTokens } from "../luks/header/bindings.ts";
import { readVolumeHeader, type VolumeHeader } from "../luks/header/header.ts";
import { describeRequirements } from "../luks/header/requirements.ts";
import { countSlots } from "../luks/header/slots.ts";
import { rememberedSlotOf } from "../luks/remembered-key.ts";
import { listPairs, readRotation } from "../luks/rotation-record.ts";
import { wantsPerson } from "../pins/ask-pin.ts";
import type { ShareOutcome } from "../pins/recover.ts";
import type { System } from "../system/port.ts";
import { tryBinding } from "./attempt.ts";
import { type Binding, listBindings, listOthers } from "./binding.ts";
import { warnOfNoPassphrase } from "./no-passphrase.ts";
import { findRotated, type Rotated } from "./rotation.ts";
import { describeShares, type SharesStatus } from "./shares.ts";

/** What there is to say about one volume, without a passphrase and without a change. */
export interface VolumeStatus {
  readonly device: string;
  readonly version: 1 | 2;
  readonly uuid: string;
  readonly label: string;
  readonly keyslots: { readonly used: number; readonly total: number };
  readonly bindings: readonly BindingStatus[];
  readonly others: readonly HeldToken[];
  /** Keys of a staged reboot. */
  readonly staged: readonly DisposableRecord[];
  readonly leftovers: readonly Leftover[];
  readonly warnings: readonly HeaderWarning[];
  /** That nothing opens it but its bindings; null where something does. */
  readonly noPassphrase: HeaderWarning | null;
}

/** What a change that was cut short left behind, or what one that is under way has not done yet. */
interface Leftover {
  readonly text: string;
  readonly remedy: string;
}

interface HeaderWarning {
  readonly text: string;
  /** null: nothing more than to look at the header. */
  readonly remedy: string | null;
}

/** A binding, and whether it opens the volume. */
export interface BindingStatus {
  readonly binding: Binding;
  /** null: not tried, a pin that is not ours to try, or one that wants a person to type a PIN. */
  readonly opens: boolean | null;
  readonly error: NightlatchError | null;
  /** What is nested in it, each asked to its end; null where nothing is. */
  readonly shares: SharesStatus | null;
  /** Servers of it whose keys were rotated; empty where none was asked. */
  readonly rotated: readonly Rotated[];
}

interface StatusOptions {
  readonly stateFolder: string;
  /** Whether servers are asked and keyslots tried. */
  readonly tries: boolean;
  /**
   * As isChangeUnderWay says, where it was asked already: two who ask at once take each other for a
   * change.
   */
  readonly isChanging?: boolean;
  readonly signal: AbortSignal;
  /** The volume's name in crypttab, where it has one. */
  readonly name?: string;
  /** What agent.toml says of it; the default where it is absent. */
  readonly trust?: VolumeTrust;
}

/**
 * Looks at one volume, without a passphrase and without a change.
 * @throws NightlatchError as readVolumeHeader
 */
export async function volumeStatus(system: System, device: string, options: StatusOptions): Promise<VolumeStatus> {
  const header = await readVolumeHeader(system, device);
  const { stateFolder, name = null, trust = DEFAULT_AGENT_CONFIG.trust } = options;
  const refusal = await whyNotBound(system, device, header, { stateFolder, name, trust });
  const bindings = listBindings(header).map((binding) => {
    if (refusal === null) return statusOf(system, device, binding, options);
    return { binding, opens: false, error: refusal, shares: describeShares(binding, null), rotated: [] };
  });
  const turning = await lookAtRotation(system, device, header, stateFolder);
  // That the servers of a former binding have other keys is what its successor is for.
  const tried = (await Promise.all(bindings)).map((status) =>
    turning.formers.has(status.binding.token.id) ? { ...status, rotated: [] } : status,
  );
  const remembered = options.tries ? await rememberedSlotOf(system, stateFolder, device, header) : null;
  return {
    device,
    version: header.version,
    uuid: header.uuid,
    label: header.version === 2 ? header.label : "",
    keyslots: countSlots(header),
    bindings: tried,
    others: listOthers(header).filter(({ type }) => type !== DISPOSABLE_TYPE),
    staged: (await listRecords(system, options.stateFolder, header)).map(({ record }) => record),
    leftovers: [...(await findLeftovers(system, device, header, options)), ...turning.leftovers],
    warnings: warningsOf(header, device),
    noPassphrase: warnOfNoPassphrase(header, device, tried, remembered),
  };
}

/** Former bindings that stand beside their successors. */
async function lookAtRotation(
  system: System,
  device: string,
  header: VolumeHeader,
  stateFolder: string,
): Promise<{ readonly formers: ReadonlySet<number>; readonly leftovers: readonly Leftover[] }> {
  try {
    const pairs = listPairs(header, await readRotation(system, stateFolder, header.uuid));
    const leftovers = pairs.map(({ former, next }) => ({
      text: `keyslot ${former.keyslots.join()} is the former of keyslot ${next.keyslots.join()}, and stays until a boot has opened by that`,
      remedy: `nightlatch rotate --finish ${shellWord(device)}`,
    }));
    return { formers: new Set(pairs.map(({ former }) => former.id)), leftovers };
  } catch (error) {
    if (!isError(error, "machine/bad-state")) throw error;
    const { message, remedy = "nightlatch status" } = error;
    return { formers: new Set(), leftovers: [{ text: message, remedy }] };
  }
}

async function statusOf(
  system: System,
  device: string,
  binding: Binding,
  { tries, signal }: StatusOptions,
): Promise<BindingStatus> {
  if (!tries) return { binding, opens: null, error: null, shares: describeShares(binding, null), rotated: [] };
  const outcomes: ShareOutcome[] = [];
  const [attempt, rotated] = await Promise.all([
    tryBinding(system, device, binding, signal, outcomes),
    findRotated(system, binding, signal),
  ]);
  attempt.secret?.wipe();
  const shares = describeShares(binding, outcomes);
  if (attempt.secret !== null) return { binding, opens: true, error: null, shares, rotated };
  const { error } = attempt;
  const isUntried = isError(error, "pin/unsupported") || wantsPerson(error);
  return { binding, opens: isUntried ? null : false, error, shares, rotated };
}

const OPERATIONS: Readonly<Record<ChangeOperation, string>> = {
  bind: "a binding",
  rebind: "a rebinding",
  unbind: "an unbinding",
  "recovery-add": "the addition of a recovery key",
  "recovery-remove": "the removal of a recovery key",
};

const CHANGE_UNDER_WAY: Leftover = {
  text: "a change is under way; look again when it is done",
  remedy: "nightlatch check",
};

async function findLeftovers(
  system: System,
  device: string,
  header: VolumeHeader,
  { stateFolder, isChanging }: StatusOptions,
): Promise<readonly Leftover[]> {
  if (isChanging ?? (await isChangeUnderWay(system, stateFolder))) return [CHANGE_UNDER_WAY];
  const left = await readIntents(system, device, header, stateFolder);
  const backups = await listBackups(system, stateFolder, header.uuid);
  const kept = backups.map((path) => `a header backup of a change that was cut short: ${path}`);
  return [...left, ...kept].map((text) => ({ text, remedy: "the next nightlatch bind or unbind clears it up" }));
}

/**
 * What is over in a moment, such as the clean-up after a boot or a use that the agent writes down,
 * is no change that a person has to know of.
 */
const CHANGE_WAIT_MS = 2000;

/**
 * Tells whether a header change is under way, by asking for its lock. Where there is no state
 * folder, none can be.
 * @throws NightlatchError file/*
 */
export async function isChangeUnderWay(system: Pick<System, "stat" | "lock">, stateFolder: string): Promise<boolean> {
  if ((await system.stat(`${stateFolder}/lock`)) === null) return false;
  try {
    await using _ = await system.lock(`${stateFolder}/lock`, CHANGE_WAIT_MS);
    return false;
  } catch (error) {
    if (isError(error, "system/busy")) return true;
    throw error;
  }
}

async function readIntents(
  system: System,
  device: string,
  header: VolumeHeader,
  stateFolder: string,
): Promise<string[]> {
  try {
    const record = await readIntentRecord(system, stateFolder, header.uuid);
    const notes = openLedger(system, { device }, header).listNotes(header);
    const agreed = record === null ? null : noteOf(notes, record.intent);
    const strange = notes.filter((note) => note !== agreed);
    return [
      ...(record === null ? [] : [`${describeIntent(header, record.intent)}; the next bind or unbind clears it up`]),
      ...strange.map(
        ({ intent }) =>
          `${describeIntent(header, intent)}, which this machine has no record of: no keyslot will be removed for it`,
      ),
    ];
  } catch (error) {
    if (error instanceof NightlatchError) return [error.message];
    throw error;
  }
}

function describeIntent(header: VolumeHeader, { operation, adds, removes }: Intent): string {
  const tokens = listTokens(header);
  const added = adds === null ? [] : [`adding keyslot ${adds.keyslot}`];
  const removed = removes
    .filter((removal) => tokens.some((token) => isTokenOf(token, removal)))
    .map(({ keyslot }) => (keyslot === null ? "removing a token" : `removing keyslot ${keyslot}`));
  const parts = [...added, ...removed];
  return `${OPERATIONS[operation]} that was cut short${parts.length === 0 ? "" : ` (${parts.join(", ")})`}`;
}

function warningsOf(header: VolumeHeader, device: string): HeaderWarning[] {
  if (header.version === 1)
    return header.metaDamage === null ? [] : [{ text: header.metaDamage.message, remedy: null }];
  const required = describeRequirements(header, device);
  const repair = `cryptsetup repair ${device}`;
  return [
    ...(header.damagedCopy === null
      ? []
      : [{ text: `the ${header.damagedCopy} copy of its header is damaged`, remedy: repair }]),
    ...(required === null ? [] : [required]),
  ];
}
