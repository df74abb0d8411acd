// @ts-nocheck
import type { EntryOptions } from "../../boot/entry/entries.ts";
import { isError } from "../../core/errors.ts";
import { bootId } from "../../host/boot-id.ts";
import type { System } from "../../system/port.ts";
import { cleanUp } from "../clean-up.ts";
import { requireCleanUp } from "../clean-up-units.ts";
import type { Conversation } from "../conversation.ts";
import { type Announcing, openForProof } from "../lease.ts";
import { planReboot } from "../plan/plan.ts";
import type { RebootPlan } from "../plan/reboot-plan.ts";
import { proveOverlay } from "../proof/overlay.ts";
import { settleSockets } from "../proof/system-volumes.ts";
import { type Certainty, findAuthorities } from "../stage/authority.ts";
import type { Carrier, PreparedCarry } from "../stage/carrier.ts";
import { type Staged, stageBoot } from "../stage/stage.ts";
import { keySources, knownKeys } from "./keys.ts";

/** A boot that is staged, and waits. */
export interface StagedBoot {
  readonly carrier: Carrier;
  readonly carry: PreparedCarry;
  readonly plan: RebootPlan;
  /** The servers that the boot has to be announced to, for what it is left to open by itself. */
  readonly announcing: Announcing;
  readonly staged: Staged;
  readonly stagingMs: number;
  /** Seconds since the epoch. */
  readonly expires: number;
}

/** Which boot to stage, and for how long. */
export interface StagingRequest {
  readonly stateFolder: string;
  readonly entry: EntryOptions;
  readonly lifeSeconds: number;
  /** The last thing before headers are changed. */
  readonly beforeStaging: () => Promise<void>;
}

/**
 * Plans the next boot and stages it. What was staged before goes first.
 * @throws NightlatchError where it would not come back by itself; nothing is staged then
 */
export async function stageNextBoot(
  system: System,
  carrier: Carrier,
  { stateFolder, entry, lifeSeconds, beforeStaging }: StagingRequest,
  conversation: Conversation,
): Promise<StagedBoot> {
  const { hint, signal } = conversation;
  await requireCleanUp(system);
  const before = await cleanUp(system, stateFolder, true);
  if (before.removed.length + before.disarmed.length > 0) hint("What was staged before is taken back.");
  const planned = await planReboot(system, entry);
  const sockets = planned.volumes.filter(({ opening }) => opening.kind === "socket");
  await using window = await openForProof(system, stateFolder, sockets, signal);
  const { announcing } = window;
  const settled = await settleSockets(system, planned, { stateFolder, signal });
  const plan = await proveOverlay(system, settled);
  const carry = await carrier.prepare(system, plan);
  for (const warning of carry.warnings) hint(warning);
  if (carry.question !== null) await conversation.requireConsent(carry.question);
  using keys = await knownKeys(system, stateFolder, conversation);
  const sources = keySources(system, stateFolder, conversation);
  const stage = async (certainty: Certainty): Promise<StagedBoot> => {
    const authorities = await findAuthorities(system, plan.volumes, keys, sources, certainty);
    const startedMs = system.monotonicMs();
    const expires = Math.floor(system.nowMs() / 1000) + lifeSeconds;
    await beforeStaging();
    const context = { stateFolder, bootId: await bootId(system), expires };
    const tell = (step: string) => hint(`… ${step}`);
    const staged = await stageBoot(system, carry, plan, authorities, context, tell);
    return {
      carrier,
      carry,
      plan,
      announcing,
      staged,
      stagingMs: Math.round(system.monotonicMs() - startedMs),
      expires,
    };
  };
  try {
    return await stage("likely");
  } catch (error) {
    if (!isError(error, "luks/wrong-passphrase")) throw error;
    hint(`… ${error.message}: what was begun is taken back`);
    return await stage("proved");
  }
}

/** Cancels all that is staged, and says what is left over. @returns whether nothing is */
export async function cancelStaged(
  system: System,
  stateFolder: string,
  { hint }: Pick<Conversation, "hint">,
): Promise<boolean> {
  const { failures } = await cleanUp(system, stateFolder, true);
  for (const { message, remedy } of failures) hint(`left over: ${[message, remedy].filter(Boolean).join("\n  ")}`);
  return failures.length === 0;
}
