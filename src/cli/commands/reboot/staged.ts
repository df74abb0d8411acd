import type { EntryOptions } from "../../../boot/entry/entries.ts";
import { isError, NightlatchError } from "../../../core/errors.ts";
import type { Secret } from "../../../core/secret.ts";
import { bootId, cleanUp } from "../../../reboot/clean-up.ts";
import { requireCleanUp } from "../../../reboot/go.ts";
import { requireNoHindrance } from "../../../reboot/hindrance.ts";
import { planReboot } from "../../../reboot/plan/plan.ts";
import type { PlannedVolume, RebootPlan } from "../../../reboot/plan/planned.ts";
import { settleSockets } from "../../../reboot/proof/later.ts";
import { proveOverlay } from "../../../reboot/proof/overlay.ts";
import { type Certainty, findAuthorities } from "../../../reboot/stage/authority.ts";
import type { Carrier, PreparedCarry } from "../../../reboot/stage/carrier.ts";
import { type Staged, stageBoot } from "../../../reboot/stage/stage.ts";
import type { CommandInput, ExitStatus } from "../../command.ts";
import { requireConsent } from "./consent.ts";
import { knownKeys, recoverBy } from "./keys.ts";
import { DRY_RUN_OVER, describePlan, initramfsText, planLines } from "./report.ts";

/** For how long what was staged may wait for its reboot. */
export const LIFE_SECONDS = 15 * 60;

/** A boot that is staged, and waits. */
export interface StagedBoot {
  readonly carrier: Carrier;
  readonly carry: PreparedCarry;
  readonly plan: RebootPlan;
  readonly staged: Staged;
  readonly stagingMs: number;
  /** Seconds since the epoch. */
  readonly expires: number;
}

export interface StagingRequest {
  readonly wish: EntryOptions;
  readonly lifeSeconds: number;
  /** Null where nobody can be asked. */
  readonly ask: ((volume: PlannedVolume) => Promise<Secret>) | null;
  /** The last thing before headers are changed. */
  readonly beforeStaging: () => Promise<void>;
}

/** What was staged before goes first. @throws NightlatchError where it would not come back by itself; nothing is staged then */
export async function stageWith(input: CommandInput, carrier: Carrier, request: StagingRequest): Promise<StagedBoot> {
  const { system, terminal, options } = input;
  const stateFolder = String(options["state"]);
  await requireCleanUp(system);
  const before = await cleanUp(system, stateFolder, true);
  if (before.removed.length + before.disarmed.length > 0) terminal.hint("What was staged before is taken back.");
  const planned = await planReboot(system, request.wish);
  const settled = await settleSockets(system, planned, { stateFolder, signal: terminal.signal });
  const plan = await proveOverlay(system, settled);
  const carry = await carrier.prepare(system, plan);
  for (const warning of carry.warnings) terminal.hint(warning);
  if (carry.question !== null) await requireConsent(input, carry.question);
  using keys = await knownKeys(input);
  const sources = { recover: recoverBy(input), ask: request.ask };
  const stage = async (certainty: Certainty): Promise<StagedBoot> => {
    const authorities = await findAuthorities(system, plan.volumes, keys, sources, certainty);
    const startedMs = system.monotonicMs();
    const expires = Math.floor(system.nowMs() / 1000) + request.lifeSeconds;
    await request.beforeStaging();
    const context = { stateFolder, bootId: await bootId(system), expires };
    const tell = (step: string) => terminal.hint(`… ${step}`);
    const staged = await stageBoot(system, carry, plan, authorities, context, tell);
    return { carrier, carry, plan, staged, stagingMs: Math.round(system.monotonicMs() - startedMs), expires };
  };
  try {
    return await stage("likely");
  } catch (error) {
    if (!isError(error, "luks/wrong-passphrase")) throw error;
    terminal.hint(`… ${error.message}: what was begun is taken back`);
    return await stage("proved");
  }
}

/** Says what is staged, and reboots; with --dry-run takes it back instead. A shutdown that does not begin leaves nothing staged. */
export async function goWith(input: CommandInput, boot: StagedBoot): Promise<ExitStatus> {
  const { system, switches, options } = input;
  const dryRun = switches.has("dry-run");
  tellPerson(input, boot);
  const stateFolder = String(options["state"]);
  if (dryRun) {
    const ok = await takeBackAll(input, stateFolder);
    if (ok) input.terminal.line(DRY_RUN_OVER);
    tellProgram(input, boot, { ok, dryRun });
    return ok ? 0 : 1;
  }
  try {
    requireNotCancelled(input);
    await requireNoHindrance(system);
    await boot.carrier.start(system);
  } catch (error) {
    await takeBackAll(input, stateFolder);
    throw error;
  }
  tellProgram(input, boot, { ok: true, dryRun });
  return 0;
}

/** @throws NightlatchError usage/cancelled where control-C was pressed */
export function requireNotCancelled({ terminal }: CommandInput): void {
  if (terminal.signal.aborted) throw new NightlatchError("usage/cancelled", "cancelled");
}

export function tellPerson({ terminal }: CommandInput, { carrier, carry, plan, staged }: StagedBoot): void {
  const via = `${carrier.via}${initramfsText(plan)} + ${staged.overlayBytes} bytes, ${carry.words}`;
  for (const line of planLines(plan, via)) terminal.line(line);
}

/** Once all is done: a program is told one outcome. @param facts what the command adds */
export function tellProgram(
  { terminal }: CommandInput,
  { carrier, carry, plan, staged, stagingMs }: StagedBoot,
  facts: Readonly<Record<string, unknown>> & { readonly ok: boolean },
): void {
  const described = describePlan(plan, staged.overlayBytes);
  terminal.result({ ...facts, via: carrier.via, stagingMs, ...described, ...carry.facts });
}

/** True where nothing is left. */
export async function takeBackAll({ system, terminal }: CommandInput, stateFolder: string): Promise<boolean> {
  const { failures } = await cleanUp(system, stateFolder, true);
  for (const { message, remedy } of failures)
    terminal.hint(`left over: ${[message, remedy].filter(Boolean).join("\n  ")}`);
  return failures.length === 0;
}

export function wishOf(options: CommandInput["options"]): EntryOptions {
  return {
    entry: options["entry"] ?? null,
    kernel: options["kernel"] ?? null,
    initrds: (options["initrd"] ?? "").split(",").filter((path) => path !== ""),
    cmdline: options["cmdline"] ?? null,
  };
}
