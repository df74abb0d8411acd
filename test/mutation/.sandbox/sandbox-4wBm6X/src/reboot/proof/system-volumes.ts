// @ts-nocheck
import { clevisAnswers } from "../../check/collect/clevis-askpass.ts";
import { collectFacts } from "../../check/collect/facts.ts";
import type { CheckFacts, VolumeFacts } from "../../check/judge/facts.ts";
import type { Finding } from "../../check/judge/finding.ts";
import { judge } from "../../check/judge/judge.ts";
import { AGENT_UNIT } from "../../check/judge/machine.ts";
import { whyUnsteady } from "../../check/judge/measured.ts";
import { agentSteps, BY_PERSON, judgeAnswered } from "../../check/judge/volume.ts";
import { AGENT_CONFIG, AGENT_SOCKET } from "../../core/places.ts";
import { startOf } from "../../formats/systemd/boot-start.ts";
import { findOption } from "../../formats/systemd/crypttab.ts";
import type { System } from "../../system/port.ts";
import type { PlannedVolume, RebootPlan } from "../plan/reboot-plan.ts";
import { fails, notProved, openingOf, type Proof, proved, untried } from "./proof.ts";

/** What a proof tries bindings with. */
export interface ProofOptions {
  readonly stateFolder: string;
  readonly signal: AbortSignal;
  /** Whether the firmware starts the next boot, and measures it; a kexec measures nothing. */
  readonly throughFirmware?: boolean;
}

/**
 * Of volumes that the system opens after the initramfs and that no key file opens: whether the
 * agent, or stock clevis, opens them at the next boot. Each binding is tried, and what `nightlatch
 * check` finds wrong with the way to it counts.
 */
export async function proveSystemVolumes(
  system: System,
  volumes: readonly PlannedVolume[],
  { stateFolder, signal, throughFirmware = false }: ProofOptions,
): Promise<Map<PlannedVolume, Proof>> {
  const proofs = new Map<PlannedVolume, Proof>();
  if (volumes.length === 0) return proofs;
  const facts = await collectFacts(system, {
    crypttab: "/etc/crypttab",
    fstab: "/etc/fstab",
    config: AGENT_CONFIG,
    socket: AGENT_SOCKET,
    stateFolder,
    signal,
    only: new Set(volumes.map(({ name }) => name)),
    later: true,
  });
  const answers = await clevisAnswers(system);
  for (const volume of volumes) {
    const proof = proveOne(facts, answers, volume);
    const unsteady = throughFirmware && proof.state === "proved" ? unsteadyOf(facts, volume) : null;
    proofs.set(volume, unsteady === null ? proof : untried(unsteady, "Use kexec."));
  }
  return proofs;
}

/** Why no binding that opens a volume now is sure to at the next boot; null where one is. */
function unsteadyOf(facts: CheckFacts, { name }: PlannedVolume): string | null {
  const bindings = facts.volumes.find(({ entry }) => entry.volume === name)?.bindings ?? [];
  const reasons = bindings.filter(({ opens }) => opens === true).map(whyUnsteady);
  return reasons.includes(null) ? null : (reasons[0] ?? null);
}

function proveOne(facts: CheckFacts, answers: boolean, { name, opening }: PlannedVolume): Proof {
  if (opening.kind === "socket" && opening.path !== AGENT_SOCKET) {
    return untried(`who answers on ${opening.path} was not asked`, `Name ${AGENT_SOCKET} as its key in crypttab.`);
  }
  const volume = facts.volumes.find(({ entry }) => entry.volume === name);
  if (volume === undefined)
    return untried("systemd's crypttab has no LUKS volume of its name", "See: nightlatch check");
  const { by, why } = startOf(facts, volume);
  if (by === "unsure") return untried(`it cannot be told whether anything starts it: ${why}`, "See: nightlatch check");
  return opening.kind === "socket" ? byAgent(facts, volume) : byClevis(facts, volume, answers);
}

function byAgent(facts: CheckFacts, volume: VolumeFacts): Proof {
  if (facts.systemd === null) return untried("systemd does not run here", "See: nightlatch check");
  const files = [...facts.exposed, ...(facts.readableIdentity === null ? [] : [facts.readableIdentity])];
  const subjects = [volume.entry.volume, AGENT_UNIT, facts.agentSocket, "systemd", ...files.map(({ path }) => path)];
  const error = firstError(judge(facts), subjects);
  if (error !== null) return error;
  if (volume.command !== null) {
    return untried(
      `the agent runs ${volume.command.program} for its key, which was not tried`,
      "Bind the volume instead.",
    );
  }
  return byBinding(volume, "the agent asks");
}

function byClevis(facts: CheckFacts, volume: VolumeFacts, answers: boolean): Proof {
  const { entry, bindings } = volume;
  const token = findOption(entry, "tpm2-device", "pkcs11-uri", "fido2-device");
  if (token !== undefined) return untried(`systemd's own ${token.name}= cannot be tried from here`, "Use kexec.");
  if (bindings.every(({ needsPerson }) => needsPerson)) return withoutPerson(volume);
  if (!answers) {
    return fails("nobody asks its bindings: crypttab names no key for it", agentSteps(facts, volume));
  }
  const cycles = judge(facts).filter(({ subject }) => subject === "systemd");
  return (
    firstError([...cycles, ...judgeAnswered(facts, volume)], [entry.volume, "systemd"]) ??
    byBinding(volume, "clevis asks")
  );
}

function firstError(findings: readonly Finding[], subjects: readonly string[]): Proof | null {
  const found = findings.find(({ severity, subject }) => severity === "error" && subjects.includes(subject));
  if (found === undefined) return null;
  const { subject, text, remedy } = found;
  return fails(subject === subjects[0] ? text : `${subject} ${text}`, remedy);
}

function byBinding({ bindings, device }: VolumeFacts, who: string): Proof {
  const opening = bindings.find(({ opens }) => opens === true);
  if (opening !== undefined) return proved(`${who} ${opening.text}, tried`);
  const first = bindings.find(({ needsPerson }) => !needsPerson);
  if (first === undefined) return withoutPerson({ bindings, device });
  return untried(`${first.text} cannot be tried from here`, "Use kexec.");
}

/** Of a volume that has no binding at all, or none that opens with nobody there. */
function withoutPerson({ bindings, device }: Pick<VolumeFacts, "bindings" | "device">): Proof {
  const why = bindings.length === 0 ? "it has no binding, and asks for its passphrase" : BY_PERSON;
  return fails(why, `Run: nightlatch bind ${device} latch INVITE`);
}

/**
 * For a kexec: a volume that a key socket opens after the boot needs no disposable key, and can be
 * given none.
 * @throws NightlatchError reboot/not-proved where one that has to open was seen not to
 */
export async function settleSockets(system: System, plan: RebootPlan, options: ProofOptions): Promise<RebootPlan> {
  const asked = plan.volumes.filter(({ opening }) => opening.kind === "socket");
  const proofs = await proveSystemVolumes(system, asked, options);
  const failing = asked.flatMap((volume) => {
    const proof = proofs.get(volume);
    return proof?.state === "fails" && !volume.mayFail ? [{ volume, lack: proof.lack }] : [];
  });
  if (failing.length > 0) throw notProved(failing);
  const volumes = plan.volumes.map((volume) => {
    const proof = proofs.get(volume);
    return proof === undefined ? volume : { ...volume, opening: openingOf(volume, proof) };
  });
  return { ...plan, volumes };
}
