import { asksAgent, type CheckFacts, type PathFacts } from "./facts.ts";
import type { Finding } from "./finding.ts";

const GROUP_AND_OTHERS = 0o077;
const WRITABLE_BY_OTHERS = 0o022;

/** The agent's socket and configuration. What nobody asks the agent for needs neither. */
export function judgeAgent(facts: CheckFacts): Finding[] {
  const { agent, volumes } = facts;
  const found = judgeConfig(facts);
  if (!volumes.some((volume) => asksAgent(volume, agent))) return found;
  const add = (finding: Omit<Finding, "subject">) => found.push({ subject: "nightlatch-agent.socket", ...finding });
  const unit = facts.units?.agentSocket;
  const state = unit?.get("UnitFileState") ?? "";
  if (facts.units !== null && !state.startsWith("enabled")) {
    add({
      code: "agent/socket-disabled",
      severity: "error",
      message:
        unit === null
          ? "the agent's socket unit is not installed"
          : `the agent's socket is not enabled (${state || "unknown"})`,
      effect: "Nobody answers at boot: volumes that name the socket ask for the passphrase.",
      remedy: unit === null ? "apt install --reinstall nightlatch" : "systemctl enable --now nightlatch-agent.socket",
    });
  }
  const active = unit?.get("ActiveState");
  if ((unit != null && active !== "active") || agent.socket?.kind !== "socket") {
    add({
      code: "agent/socket-inactive",
      severity: "error",
      message: unit == null ? `nothing listens at ${agent.socketPath}` : `the socket unit is ${active ?? "unknown"}`,
      effect: "Until it listens, volumes that name the socket ask for the passphrase.",
      remedy: "systemctl restart nightlatch-agent.socket; its log: journalctl -b -u nightlatch-agent.socket",
    });
  }
  const { socket, socketFolder, socketPath } = agent;
  const loose = [
    ...(socket !== null && ((socket.mode & GROUP_AND_OTHERS) !== 0 || socket.uid !== 0) ? [socketPath] : []),
    ...(socketFolder !== null && (socketFolder.mode & WRITABLE_BY_OTHERS) !== 0 ? [`the folder of ${socketPath}`] : []),
  ];
  if (loose.length > 0) {
    add({
      code: "agent/socket-permissions",
      severity: "error",
      message: `${loose.join(" and ")} can be used by others than root`,
      effect: "Other users could take its place. The agent itself answers root alone.",
      remedy: `systemctl restart nightlatch-agent.socket; a drop-in may loosen it: systemctl cat nightlatch-agent.socket`,
    });
  }
  return found;
}

function judgeConfig({ agent, volumes }: CheckFacts): Finding[] {
  const found: Finding[] = [];
  const { configPath, configFile, configError, config } = agent;
  const add = (finding: Omit<Finding, "subject">) => found.push({ subject: configPath, ...finding });
  if (configError !== null) {
    add({
      code: "agent/bad-config",
      severity: "error",
      message: configError.message,
      effect: configError.meaning ?? "The agent passes over the file.",
      remedy: configError.remedy ?? `Correct ${configPath}.`,
    });
  }
  if (configFile !== null && ((configFile.mode & WRITABLE_BY_OTHERS) !== 0 || configFile.uid !== 0)) {
    add({
      code: "agent/config-permissions",
      severity: "error",
      message: "others than root can change it",
      effect: "What it names is run by root.",
      remedy: `chown root:root ${configPath} && chmod 644 ${configPath}`,
    });
  }
  const names = new Set(volumes.map(({ entry }) => entry.volume));
  for (const name of config.volumes.keys()) {
    if (names.has(name)) continue;
    add({
      code: "agent/unknown-volume",
      severity: "warning",
      message: `it names the volume ${name}, which crypttab does not`,
      effect: "That part of it is never used.",
      remedy: `Remove [volume.${name}], or write the name as the first field of its line in crypttab.`,
    });
  }
  for (const program of agent.missingPrograms) {
    add({
      code: "agent/no-program",
      severity: "error",
      message: `${program} is not there, or cannot be executed`,
      effect: "The volumes whose key it prints ask for the passphrase.",
      remedy: `Install the package that holds ${program}, or correct exec in ${configPath}.`,
    });
  }
  return found;
}

/** The machine's identity speaks for the machine: nobody else may read or replace it. */
export function judgeState({ state }: CheckFacts): Finding[] {
  return state.filter(isLoose).map(({ path, facts }) => ({
    code: "state/permissions",
    severity: "error",
    subject: path,
    message: facts.uid === 0 ? "others than root can read or change it" : "it does not belong to root",
    effect: "Another user could speak for this machine at its key servers.",
    remedy: `chown root:root ${path} && chmod ${facts.kind === "directory" ? "700" : "600"} ${path}`,
  }));
}

function isLoose({ facts }: PathFacts): boolean {
  return facts.uid !== 0 || (facts.mode & GROUP_AND_OTHERS) !== 0;
}
