// @ts-nocheck
import type { NightlatchError } from "../../../core/errors.ts";
import { cleanUp, listDisposables } from "../../../reboot/clean-up.ts";
import { LIFE_SECONDS } from "../../../reboot/clean-up-units.ts";
import { requireNotCancelled } from "../../../reboot/conversation.ts";
import { startAnnounced } from "../../../reboot/lease.ts";
import { requireSoftReboot } from "../../../reboot/plan/soft.ts";
import { startOrdinaryReboot, startSoftReboot } from "../../../reboot/start.ts";
import { chooseWay } from "../../../reboot/ways/auto.ts";
import { type ProvedPlan, planByBindings } from "../../../reboot/ways/bindings.ts";
import { stageByKexec } from "../../../reboot/ways/kexec.ts";
import { stageByOneshot } from "../../../reboot/ways/oneshot.ts";
import { cancelStaged, type StagedBoot } from "../../../reboot/ways/staged-boot.ts";
import { startStaged } from "../../../reboot/ways/start-staged.ts";
import type { System } from "../../../system/port.ts";
import type { ExitStatus } from "../../command.ts";
import { stateFolderOf } from "../../volume/input.ts";
import { converse } from "./conversation.ts";
import { ENTRY_NAMES, entryOf, givenOf, type RebootInput, requireOnly } from "./options.ts";
import { DRY_RUN_OVER, describePlan, initramfsText, planLines, tellPerson, tellProgram } from "./report.ts";

type Way = (input: RebootInput) => Promise<ExitStatus>;

/** What `--via` may say. */
export const WAYS: Readonly<Record<string, Way>> = {
  auto: rebootByItself,
  kexec: rebootByKexec,
  bindings: rebootByBindings,
  soft: rebootSoftly,
  oneshot: rebootByOneshot,
};

async function rebootByItself(input: RebootInput): Promise<ExitStatus> {
  const { options, system } = input;
  const mayBeOrdinary = givenOf(options, ENTRY_NAMES).length === 0;
  const request = { stateFolder: stateFolderOf(options.state), entry: entryOf(options), mayBeOrdinary };
  const chosen = await chooseWay(system, request, converse(input));
  return chosen.way === "kexec" ? finishStaged(input, chosen.boot) : finishByBindings(input, chosen);
}

async function rebootByKexec(input: RebootInput): Promise<ExitStatus> {
  const { options, system } = input;
  const request = { stateFolder: stateFolderOf(options.state), entry: entryOf(options) };
  return finishStaged(input, await stageByKexec(system, request, converse(input)));
}

async function rebootByOneshot(input: RebootInput): Promise<ExitStatus> {
  const { options, system } = input;
  const request = { stateFolder: stateFolderOf(options.state), entry: entryOf(options), lifeSeconds: LIFE_SECONDS };
  return finishStaged(input, await stageByOneshot(system, request, converse(input)));
}

/**
 * An ordinary reboot, through the firmware, once every volume was seen to open by itself. Nothing
 * is staged.
 */
async function rebootByBindings(input: RebootInput): Promise<ExitStatus> {
  const { options, system, terminal } = input;
  requireOnly(options, "an ordinary reboot, which takes what the boot loader has", []);
  const { signal } = terminal;
  const plan = await planByBindings(system, { stateFolder: stateFolderOf(options.state), signal });
  return finishByBindings(input, { plan, passedOver: [] });
}

async function rebootSoftly({ system, terminal, options }: RebootInput): Promise<ExitStatus> {
  requireOnly(options, "a soft reboot, which keeps the running kernel", []);
  await requireSoftReboot(system);
  terminal.line("  via         soft reboot: user space anew, the running kernel and the open volumes stay");
  const dryRun = options["dry-run"];
  if (dryRun) terminal.line("That was a dry run: nothing was changed.");
  else await startSoftReboot(system);
  terminal.result({ ok: true, via: "soft", dryRun });
  return 0;
}

/** Says what is staged, and reboots; with --dry-run cancels it instead. */
async function finishStaged(input: RebootInput, boot: StagedBoot): Promise<ExitStatus> {
  const { system, terminal, options } = input;
  const dryRun = options["dry-run"];
  tellPerson(terminal, boot);
  const stateFolder = stateFolderOf(options.state);
  if (dryRun) {
    const ok = await cancelStaged(system, stateFolder, terminal);
    if (ok) terminal.line(DRY_RUN_OVER);
    tellProgram(terminal, boot, { ok, dryRun });
    return ok ? 0 : 1;
  }
  await startStaged(system, boot, stateFolder, terminal);
  tellProgram(terminal, boot, { ok: true, dryRun });
  return 0;
}

/** Says what opens by itself, and reboots; with --dry-run changes nothing. */
async function finishByBindings(
  { system, terminal, options }: RebootInput,
  { plan, passedOver }: { readonly plan: ProvedPlan; readonly passedOver: readonly NightlatchError[] },
): Promise<ExitStatus> {
  const dryRun = options["dry-run"];
  const stateFolder = stateFolderOf(options.state);
  requireNotCancelled(terminal);
  // A kernel that is loaded would be started in place of the firmware (systemd 255, our own
  // drop-in).
  if (!dryRun) await cleanUp(system, stateFolder, true);
  const via = `bindings, an ordinary reboot${initramfsText(plan)}, nothing staged`;
  for (const line of planLines(plan, via)) terminal.line(line);
  for (const { message } of passedOver) terminal.line(`              not otherwise: ${message}`);
  if (dryRun) terminal.line(await dryRunLine(system, stateFolder));
  else await startAnnounced(system, stateFolder, plan.announcing, terminal.signal, () => startOrdinaryReboot(system));
  terminal.result({
    ok: true,
    via: "bindings",
    dryRun,
    ...describePlan({ ...plan, cmdline: plan.entry.cmdline }, 0),
    passedOver: passedOver.map(({ code, message }) => ({ code, message })),
  });
  return 0;
}

/** What an earlier run has staged is not touched by a dry run that stages nothing. */
async function dryRunLine(system: System, stateFolder: string): Promise<string> {
  if ((await listDisposables(system, stateFolder)).length === 0) return DRY_RUN_OVER;
  return "That was a dry run. What was staged before still is; to take it back: nightlatch reboot --cancel";
}
