// @ts-nocheck
import { tryBinding } from "../../bindings/attempt.ts";
import { formatBinding, listBindings, listOthers } from "../../bindings/binding.ts";
import { findDrivers, findMending } from "../../check/collect/early-boot.ts";
import { lacksOf } from "../../check/collect/early-lacks.ts";
import { measuredFacts } from "../../check/collect/measured.ts";
import { whyUnsteady } from "../../check/judge/measured.ts";
import { volumeOption } from "../../formats/initramfs/crypttab.ts";
import { whyNotBound } from "../../luks/bound/bound.ts";
import type { System } from "../../system/port.ts";
import type { InitramfsPlannedVolume, RebootPlan } from "../plan/reboot-plan.ts";
import { fails, type Proof, proved, untried } from "./proof.ts";
import type { ProofOptions } from "./system-volumes.ts";

/**
 * Whether the stock clevis of an initramfs opens one of its volumes: every binding is tried in the
 * running system, and the initramfs looked through for what that binding needs there.
 */
export async function proveInitramfsVolume(
  system: System,
  plan: RebootPlan,
  { found, line, name }: InitramfsPlannedVolume,
  { stateFolder, signal }: ProofOptions,
): Promise<Proof> {
  const { generator, facts, entry } = plan;
  const { device, header } = found;
  if (header === null || generator === null || facts === null) {
    return untried("what opens it is not known here", "Use kexec.");
  }
  if (entry.source === "newest kernel") {
    return untried("no boot loader is known here, so which initramfs will open it cannot be told", "Use kexec.");
  }
  const keyscript = volumeOption(line, "keyscript");
  if (keyscript !== null) return untried(`its keyscript ${keyscript} cannot be tried from here`, "Use kexec.");
  if (line.key !== "none") return fails(`its key file ${line.key} does not open it`, "Mend /etc/crypttab.");
  const bindings = listBindings(header);
  if (bindings.length === 0) {
    const [token] = listOthers(header).filter(({ type }) => type.startsWith("systemd-"));
    if (token !== undefined)
      return untried(`systemd's own token ${token.type} cannot be tried from here`, "Use kexec.");
    return fails("it has no binding, and asks for its passphrase", `Run: nightlatch bind ${device} latch INVITE`);
  }
  const refusal = await whyNotBound(system, device, header, { stateFolder, name, trust: "first-use" });
  if (refusal !== null) return fails(`${refusal.message} [${refusal.code}]`, refusal.remedy ?? "");
  const tried = await Promise.all(bindings.map((binding) => tryBinding(system, device, binding, signal)));
  for (const { secret } of tried) secret?.wipe();
  const mending = await findMending(system, generator);
  const around = { mending, drivers: await findDrivers(system, plan, mending) };
  const options = { device, luksVersion: header.version, cmdline: plan.cmdline };
  const judged = await Promise.all(
    tried.map(async (attempt): Promise<Proof> => {
      const { binding } = attempt;
      if (attempt.secret === null) {
        const { message, code, remedy } = attempt.error;
        const state = code === "pin/unsupported" ? untried : fails;
        return state(
          `${formatBinding(binding)}: ${message} [${code}]`,
          remedy ?? `Run: nightlatch unlock ${device} --test`,
        );
      }
      const [lack] = await lacksOf(system, plan, around, binding, options);
      if (lack !== undefined) return { state: "fails", lack };
      const measured = await measuredFacts(system, plan, binding.measured);
      const unsteady = whyUnsteady({ text: formatBinding(binding), measured });
      if (unsteady !== null) return untried(unsteady, "Use kexec.");
      return proved(`clevis in the initramfs asks ${formatBinding(binding)}, tried from the running system`);
    }),
  );
  return judged.find(({ state }) => state === "proved") ?? judged[0] ?? untried("it has no binding", "Use kexec.");
}
