import { DEFAULT_ENTRY } from "../../../boot/entry/entries.ts";
import { NightlatchError } from "../../../core/errors.ts";
import { luksBeneath } from "../../../host/block-devices.ts";
import { cleanUp, listDisposables } from "../../../reboot/clean-up.ts";
import { startOrdinaryReboot } from "../../../reboot/go.ts";
import { planReboot } from "../../../reboot/plan/plan.ts";
import type { Opening, PlannedVolume, RebootPlan } from "../../../reboot/plan/planned.ts";
import { proveInInitramfs } from "../../../reboot/proof/initramfs.ts";
import { proveLater } from "../../../reboot/proof/later.ts";
import { notProved, openingOf, type Proof, proved, untried } from "../../../reboot/proof/proof.ts";
import type { CommandInput, ExitStatus } from "../../command.ts";
import { DRY_RUN_OVER, describePlan, initramfsText, planLines } from "./report.ts";

/** An ordinary reboot, through the firmware, once every volume was seen to open by itself. Nothing is staged. */
export async function bindingsReboot(input: CommandInput): Promise<ExitStatus> {
  refuseOptions(input, ["key-file"]);
  return goByBindings(input, await planByBindings(input), []);
}

/** @param passedOver better ways, and why they cannot be gone */
export async function goByBindings(
  { system, terminal, switches, options }: CommandInput,
  plan: RebootPlan,
  passedOver: readonly NightlatchError[],
): Promise<ExitStatus> {
  const dryRun = switches.has("dry-run");
  if (terminal.signal.aborted) throw new NightlatchError("usage/cancelled", "cancelled");
  // A kernel that is loaded would be started in place of the firmware (systemd 255, our own drop-in).
  if (!dryRun) await cleanUp(system, String(options["state"]), true);
  const via = `bindings, an ordinary reboot${initramfsText(plan)}, nothing staged`;
  for (const line of planLines(plan, via)) terminal.line(line);
  for (const { message } of passedOver) terminal.line(`              not otherwise: ${message}`);
  if (dryRun) terminal.line(await dryRunLine(system, String(options["state"])));
  else await startOrdinaryReboot(system);
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
async function dryRunLine(system: CommandInput["system"], stateFolder: string): Promise<string> {
  if ((await listDisposables(system, stateFolder)).length === 0) return DRY_RUN_OVER;
  return "That was a dry run. What was staged before still is; to take it back: nightlatch reboot --cancel";
}

function refuseOptions({ options }: CommandInput, names: readonly string[]): void {
  const wrong = names.find((name) => options[name] !== undefined);
  if (wrong === undefined) return;
  throw new NightlatchError("usage/wrong", `reboot: --${wrong} says nothing to an ordinary reboot`, {
    remedy: "Leave it out, or use --via kexec.",
  });
}

/**
 * What the next boot opens, every volume of it proved to open by itself, or allowed to fail. Changes nothing.
 * @throws NightlatchError reboot/not-proved, usage/wrong where an option asks for what an ordinary reboot cannot do, and as planReboot
 */
export async function planByBindings(input: CommandInput): Promise<RebootPlan> {
  refuseOptions(input, ["entry", "kernel", "initrd", "cmdline"]);
  const plan = await planReboot(input.system, DEFAULT_ENTRY);
  await requirePlainBoot(input.system, plan);
  const proofs = await proveAll(input, plan);
  const open = plan.volumes.flatMap((volume) => {
    const proof = proofs.get(volume) ?? proofOf(volume.opening);
    return proof.state === "proved" || volume.mayFail ? [] : [{ volume, lack: proof.lack }];
  });
  if (open.length > 0) throw notProved(open);
  const volumes = plan.volumes.map((volume) => {
    const proof = proofs.get(volume);
    return proof === undefined ? volume : { ...volume, opening: openingOf(volume, proof) };
  });
  return { ...plan, volumes };
}

/** GRUB asks for the passphrase of an encrypted /boot itself, before any of what is proved here begins. */
async function requirePlainBoot(system: CommandInput["system"], { entry }: RebootPlan): Promise<void> {
  if (entry.source !== "grub") return;
  const files = [entry.kernel, ...entry.initrds].map(({ path }) => path);
  for (const path of new Set(["/boot", ...files])) {
    if ((await luksBeneath(system, path)).length === 0) continue;
    throw new NightlatchError("reboot/not-proved", `${path} is encrypted: GRUB asks for its passphrase`, {
      meaning: "Somebody would have to type it, whatever opens later. Nothing was changed.",
      remedy: "Use --via kexec, which goes around GRUB.",
    });
  }
}

async function proveAll(
  { system, terminal, options }: CommandInput,
  plan: RebootPlan,
): Promise<Map<PlannedVolume, Proof>> {
  const wish = { stateFolder: String(options["state"]), signal: terminal.signal };
  const isAsked = ({ opening, line }: PlannedVolume) =>
    line === null && (opening.kind === "socket" || opening.kind === "disposable");
  const proofs = await proveLater(system, plan.volumes.filter(isAsked), wish);
  for (const volume of plan.volumes) {
    if (volume.line === null || volume.opening.kind === "itself") continue;
    proofs.set(volume, await proveInInitramfs(system, plan, volume, wish));
  }
  return proofs;
}

/** Of what the plan has tried already, or could not try. */
function proofOf(opening: Opening): Proof {
  if (opening.kind !== "itself") return untried("what opens it is not known here", "See: nightlatch status");
  return opening.proved ? proved(opening.why) : untried(opening.why, "See: nightlatch status");
}
