// @ts-nocheck
import type { NightlatchError } from "../../core/errors.ts";
import { shellWord } from "../../core/text.ts";
import { isNetworkVolume } from "../../formats/systemd/crypttab.ts";
import type { CheckFacts, Responder, SystemdFacts } from "./facts.ts";
import type { Finding, FindingCode } from "./finding.ts";
import { crypttabStep, fstabStep } from "./lines.ts";

/** The unit whose socket crypttab names. */
export const AGENT_UNIT = "nightlatch-agent.socket";
/**
 * Ordered before these, a unit with default dependencies waits for itself: they come before
 * sysinit.target, it comes after.
 */
const EARLY = new Set([
  "cryptsetup-pre.target",
  "cryptsetup.target",
  "local-fs-pre.target",
  "local-fs.target",
  "sysinit.target",
]);

/** Judges the machine around its volumes: configuration, the agent's socket, the order of units. */
export function judgeMachine(facts: CheckFacts): Finding[] {
  const asked = facts.volumes.filter(({ entry }) => entry.key === facts.agentSocket);
  return [
    ...facts.crypttabFaults.map(({ line, what }) => ({
      code: "check/crypttab" as const,
      severity: "error" as const,
      subject: facts.files.crypttab,
      text: `line ${line} ${what}`,
      remedy: `correct line ${line} of ${facts.files.crypttab}`,
    })),
    ...judgeConfig(facts),
    ...(asked.length > 0 ? judgeSocket(facts) : []),
    ...(facts.systemd === null ? [] : judgeOrder(facts, facts.systemd)),
  ];
}

function judgeConfig({ configError, exposed, files, strangers, readableIdentity }: CheckFacts): Finding[] {
  const findings: Finding[] = exposed.map(({ path, refusal, isAgents }) => ({
    code: "check/exposed",
    severity: isAgents ? "error" : "warning",
    subject: path,
    text: isAgents ? refusalText(path, refusal) : refusal.message.slice(path.length + 1),
    remedy: refusal.remedy ?? "",
  }));
  if (readableIdentity !== null) {
    const { path, refusal } = readableIdentity;
    findings.push({
      code: "check/identity",
      severity: "error",
      subject: path,
      text: refusalText(path, refusal),
      remedy: refusal.remedy ?? "",
    });
  }
  for (const name of strangers) {
    findings.push({
      code: "check/unknown-volume",
      severity: "warning",
      subject: files.config,
      text: `[volume.${name}] is never used: crypttab names no such volume`,
      remedy: `write the name as the first field of its line in ${files.crypttab}, or remove [volume.${name}]`,
    });
  }
  if (configError !== null) {
    findings.push({
      code: "check/config",
      severity: "error",
      subject: files.config,
      text: `${configError.message}: the agent passes over the whole file`,
      remedy: "correct it; docs/format/agent-config.md and nightlatch(1) describe it",
    });
  }
  return findings;
}

/** The message without the path at its beginning, which is the finding's subject. */
function refusalText(path: string, { message, meaning, code }: NightlatchError): string {
  return `${message.slice(path.length + 1)} [${code}]. ${meaning}`;
}

function judgeSocket({ socket, systemd, agentSocket }: CheckFacts): Finding[] {
  const finding = (code: FindingCode, subject: string, text: string, remedy: string): Finding[] => [
    { code, severity: "error", subject, text, remedy },
  ];
  if (systemd !== null) {
    const { load, file, active } = systemd.agentUnit;
    if (load !== "loaded") {
      const remedy =
        load === "masked"
          ? `systemctl unmask ${AGENT_UNIT}\nsystemctl enable --now ${AGENT_UNIT}`
          : "install the nightlatch package";
      return finding("check/agent-unit", AGENT_UNIT, `is ${load}: nobody answers, the passphrase is asked for`, remedy);
    }
    if (file !== "enabled") {
      const text = "is not enabled: at the next boot nobody answers, the passphrase is asked for";
      return finding("check/agent-unit", AGENT_UNIT, text, `systemctl enable --now ${AGENT_UNIT}`);
    }
    if (active !== "active") {
      return finding("check/agent-unit", AGENT_UNIT, `is ${active}`, `systemctl restart ${AGENT_UNIT}`);
    }
  }
  if (socket === null || !socket.isSocket) {
    const text = "there is no socket: the passphrase is asked for";
    return finding("check/no-socket", agentSocket, text, `systemctl restart ${AGENT_UNIT}`);
  }
  if (socket.uid !== 0 || (socket.mode & 0o077) !== 0) {
    const text = `others than root may ask for keys (user ${socket.uid}, mode ${socket.mode.toString(8)})`;
    return finding(
      "check/socket-mode",
      agentSocket,
      text,
      `see its drop-ins: systemctl cat ${AGENT_UNIT}\nsystemctl restart ${AGENT_UNIT}`,
    );
  }
  return [];
}

function judgeOrder(facts: CheckFacts, { responders, cycles }: SystemdFacts): Finding[] {
  return [
    ...responders.flatMap((responder) => judgeResponder(facts, responder)),
    ...(cycles ?? []).map((line) => ({
      code: "check/cycle" as const,
      severity: "error" as const,
      subject: "systemd",
      text: `${line}: systemd will drop a job, and which one can change with any upgrade`,
      remedy: "systemd-analyze verify default.target shows the whole cycle; break it at the unit that was made by hand",
    })),
  ];
}

function judgeResponder(
  facts: CheckFacts,
  { unit, path, hasDefaultDependencies, before, service }: Responder,
): Finding[] {
  const volumes = facts.volumes.filter(({ entry }) => entry.key === path);
  const local = volumes.filter(({ entry }) => !isNetworkVolume(entry)).map(({ entry }) => entry.volume);
  const findings: Finding[] = [];
  const found = (code: FindingCode, subject: string, text: string, remedy: string) =>
    findings.push({ code, severity: "error", subject, text, remedy });
  const early = before.filter((target) => EARLY.has(target) && hasDefaultDependencies);
  if (early.length > 0) {
    found(
      "check/unit-cycle",
      unit,
      `is ordered before ${early.join(", ")} and, by its default dependencies, after it: a cycle`,
      dropIn(unit, ["DefaultDependencies=no"]),
    );
  } else if (hasDefaultDependencies && local.length > 0) {
    found(
      "check/unit-late",
      unit,
      `comes after sysinit.target, which waits for ${local.join(", ")}: its socket is not there yet, the passphrase is asked for`,
      dropIn(unit, ["DefaultDependencies=no", "Before=cryptsetup-pre.target", "Wants=cryptsetup-pre.target"]),
    );
  }
  const waits = (service?.after ?? []).filter((target) =>
    /^(?:network-online|network|remote-fs)\.target$/.test(target),
  );
  if (service !== null && local.length > 0 && (waits.length > 0 || service.hasDefaultDependencies)) {
    const what = waits.length > 0 ? waits.join(", ") : "sysinit.target";
    found(
      "check/responder-waits",
      service.unit,
      `waits for ${what}, which comes after ${local.join(", ")}: the boot hangs`,
      volumes
        .filter(({ entry }) => !isNetworkVolume(entry))
        .flatMap((volume) => [
          crypttabStep(facts, volume, { having: ["_netdev"] }),
          ...volume.mounts
            .filter(({ options }) => !options.includes("_netdev"))
            .map((mount) => fstabStep(facts, mount, { having: ["_netdev"] })),
        ])
        .join("\n"),
    );
  }
  return findings;
}

/** What `systemctl edit` would make of it. */
function dropIn(unit: string, lines: readonly string[]): string {
  const folder = `/etc/systemd/system/${unit}.d`;
  const text = ["[Unit]", ...lines].map((line) => `'${line}'`).join(" ");
  const file = shellWord(`${folder}/nightlatch.conf`);
  return `mkdir -p ${shellWord(folder)} && printf '%s\\n' ${text} > ${file} && systemctl daemon-reload`;
}
