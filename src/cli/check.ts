import { AGENT_CONFIG, AGENT_SOCKET } from "./agent.ts";
import type { Finding } from "./check/finding.ts";
import { gatherFacts } from "./check/gather.ts";
import { judge } from "./check/judge.ts";
import type { Command, CommandInput, ExitStatus, Terminal } from "./command.ts";
import { STATE_OPTION, stateFolderOf } from "./volume-input.ts";

export const command: Command = {
  name: "check",
  summary: "find what would keep volumes shut at the next boot, and how to mend it",
  options: [
    { name: "offline", help: "ask no server and try no keyslot" },
    { name: "crypttab", value: "FILE", help: "which volumes there are", default: "/etc/crypttab" },
    { name: "fstab", value: "FILE", help: "what is mounted", default: "/etc/fstab" },
    { name: "config", value: "FILE", help: "the agent's configuration", default: AGENT_CONFIG },
    { name: "socket", value: "PATH", help: "the agent's socket", default: AGENT_SOCKET },
    STATE_OPTION,
  ],
  details: `Reads crypttab, fstab, the units and every volume's header, asks every binding's server and tries the keyslot with the answer.
Nothing is changed; a release at a server leaves its receipt there. Each finding says what was found, what it means for the next boot, and
what mends it. The status is 0 where nothing is wrong, 3 where there is a warning or an error.`,
  run,
};

/** Beside 0, 1 and 2 as for every command. */
const FINDINGS_STATUS = 3;

async function run({ options, switches, system, terminal }: CommandInput): Promise<ExitStatus> {
  const paths = {
    crypttab: options["crypttab"] ?? "",
    fstab: options["fstab"] ?? "",
    config: options["config"] ?? "",
    socket: options["socket"] ?? "",
  };
  const wish = { stateFolder: stateFolderOf(options), tries: !switches.has("offline"), signal: terminal.signal };
  const facts = await gatherFacts(system, paths, wish);
  const findings = judge(facts);
  const ok = findings.every(({ severity }) => severity === "note");
  for (const finding of findings) print(terminal, finding);
  terminal.line(verdict(findings, facts.volumes.length, switches.has("offline")));
  terminal.result({ ok, volumes: facts.volumes.map(({ entry }) => entry.volume), findings });
  return ok ? 0 : FINDINGS_STATUS;
}

function print(terminal: Terminal, { severity, subject, message, effect, remedy, code }: Finding): void {
  terminal.line(`${severity}: ${subject}: ${message} [${code}]\n  ${effect}\n  ${remedy}\n`);
}

function verdict(findings: readonly Finding[], volumes: number, offline: boolean): string {
  const count = (severity: string) => findings.filter((finding) => finding.severity === severity).length;
  const looked = `${volumes} ${volumes === 1 ? "volume" : "volumes"}${offline ? ", no server asked" : ""}`;
  const [errors, warnings] = [count("error"), count("warning")];
  if (errors + warnings === 0) return `Nothing is wrong (${looked}).`;
  return `${errors} ${errors === 1 ? "error" : "errors"}, ${warnings} ${warnings === 1 ? "warning" : "warnings"} (${looked}).`;
}
