// @ts-nocheck
import { DEFAULT_ENTRY } from "../../boot/entry/entries.ts";
import { NightlatchError } from "../../core/errors.ts";
import { luksBeneath } from "../../host/block-devices.ts";
import type { System } from "../../system/port.ts";
import { type Announcing, openForProof } from "../lease.ts";
import { planReboot } from "../plan/plan.ts";
import type { Opening, PlannedVolume, RebootPlan } from "../plan/reboot-plan.ts";
import { proveInitramfsVolume } from "../proof/initramfs-volume.ts";
import { notProved, openingOf, type Proof, proved, untried } from "../proof/proof.ts";
import { type ProofOptions, proveSystemVolumes } from "../proof/system-volumes.ts";

/** A plan whose volumes were proved, and the servers that its boot has to be announced to. */
export interface ProvedPlan extends RebootPlan {
  readonly announcing: Announcing;
}

/**
 * What the next boot opens, by an ordinary reboot through the firmware: every volume of it was
 * proved to open by itself, or may fail. Changes nothing on this machine; a server that releases
 * within a lease alone opens one for the proof, which is over when this returns.
 * @throws NightlatchError reboot/not-proved, and as planReboot
 */
export async function planByBindings(system: System, options: ProofOptions): Promise<ProvedPlan> {
  const plan = await planReboot(system, DEFAULT_ENTRY);
  await requirePlainBoot(system, plan);
  const { stateFolder, signal } = options;
  await using window = await openForProof(system, stateFolder, plan.volumes, signal);
  const proofs = await proveAll(system, plan, options);
  const open = plan.volumes.flatMap((volume) => {
    const proof = proofs.get(volume) ?? proofOf(volume.opening);
    return proof.state === "proved" || volume.mayFail ? [] : [{ volume, lack: proof.lack }];
  });
  if (open.length > 0) throw notProved(open);
  const volumes = plan.volumes.map((volume) => {
    const proof = proofs.get(volume);
    return proof === undefined ? volume : { ...volume, opening: openingOf(volume, proof) };
  });
  return { ...plan, volumes, announcing: window.announcing };
}

/**
 * GRUB asks for the passphrase of an encrypted /boot itself, before any of what is proved here
 * begins.
 */
async function requirePlainBoot(system: Pick<System, "run">, { entry }: RebootPlan): Promise<void> {
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

async function proveAll(system: System, plan: RebootPlan, options: ProofOptions): Promise<Map<PlannedVolume, Proof>> {
  const isAsked = ({ opening, stage }: PlannedVolume) =>
    stage === "system" && (opening.kind === "socket" || opening.kind === "disposable");
  const proofs = await proveSystemVolumes(system, plan.volumes.filter(isAsked), { ...options, throughFirmware: true });
  for (const volume of plan.volumes) {
    if (volume.stage === "system" || volume.opening.kind === "itself") continue;
    proofs.set(volume, await proveInitramfsVolume(system, plan, volume, options));
  }
  return proofs;
}

/** Of what the plan has tried already, or could not try. */
function proofOf(opening: Opening): Proof {
  if (opening.kind !== "itself") return untried("what opens it is not known here", "See: nightlatch status");
  return opening.proved ? proved(opening.why) : untried(opening.why, "See: nightlatch status");
}
