import { collectFacts } from "../../check/collect/facts.ts";
import type { Finding } from "../../check/judge/finding.ts";
import { judge } from "../../check/judge/judge.ts";
import { LONGEST } from "../../check/judge/lines.ts";
import { AGENT_CONFIG, AGENT_SOCKET } from "../../core/places.ts";
import { printable } from "../../core/text.ts";
import { type CommandInput, defineCommand, type ExitStatus, type Options } from "../command.ts";
import { STATE_OPTION, stateFolderOf } from "../volume/input.ts";

const OPTIONS = {
  crypttab: { value: "FILE", help: "which volumes there are", default: "/etc/crypttab" },
  fstab: { value: "FILE", help: "where they are mounted", default: "/etc/fstab" },
  config: { value: "FILE", help: "the agent's configuration", default: AGENT_CONFIG },
  socket: { value: "PATH", help: "the agent's socket", default: AGENT_SOCKET },
  initramfs: { value: "FILE", help: "an initramfs to look into, in the place of the one that boots next" },
  state: STATE_OPTION,
} as const satisfies Options;

type Input = CommandInput<typeof OPTIONS>;

export const command = defineCommand({
  name: "check",
  summary: "find what would go wrong at the next boot, and how to mend it",
  options: OPTIONS,
  details: `Looks at crypttab, fstab, the units and their order, the agent's socket and configuration. Every binding is tried: its server is
asked, and the keyslot opened with the answer. So is what [tether], [heartbeat] and [witness] are for. Nothing is changed,
and no command of the configuration is run.
With --initramfs no server is asked, and only what the initramfs lacks is told; this is how a new initramfs is looked at when it is made.
The status is 1 where there is an error: a volume would not open by itself, or the boot would stop.`,
  run,
});

async function run({ options, system, terminal }: Input): Promise<ExitStatus> {
  const facts = await collectFacts(system, {
    crypttab: options.crypttab,
    fstab: options.fstab,
    config: options.config,
    socket: options.socket,
    stateFolder: stateFolderOf(options.state),
    signal: terminal.signal,
    ...(options.initramfs === undefined ? { asksAround: true } : { initramfs: options.initramfs, tries: false }),
  });
  const isAsked = ({ code }: Finding) => options.initramfs === undefined || code.startsWith("check/initramfs");
  const findings = judge(facts).filter(isAsked);
  for (const finding of findings) for (const line of formatFinding(finding)) terminal.line(line);
  const { initramfs } = options;
  const volumes = facts.volumes.filter(({ early }) => initramfs === undefined || early !== null);
  const notChecked =
    initramfs !== undefined
      ? []
      : [
          ...(facts.systemd === null ? ["the units and their order: systemd does not run here"] : []),
          ...(facts.systemd !== null && facts.systemd.cycles === null
            ? ["cycles: systemd-analyze did not answer"]
            : []),
        ];
  for (const text of notChecked) terminal.line(`not checked: ${text}`);
  const errors = findings.filter(({ severity }) => severity === "error").length;
  const summary = summaryOf(volumes.length, errors, findings.length - errors);
  if (initramfs === undefined) terminal.line(summary);
  else if (volumes.length > 0) terminal.line(`${initramfs}: ${summary}`);
  terminal.result({ ok: errors === 0, volumes: volumes.map(({ entry }) => entry.volume), findings, notChecked });
  return errors === 0 ? 0 : 1;
}

/** What a header or a unit says of itself may hold what would play with the terminal. */
function formatFinding({ severity, subject, text, remedy, code }: Finding): string[] {
  const indent = " ".repeat(9);
  return [
    `${severity.padEnd(8)} ${printable(subject)}: ${printable(text, 1000)} [${code}]`,
    ...remedy.split("\n").map((step) => `${indent}→ ${printable(step, LONGEST + 200)}`),
  ];
}

function summaryOf(volumes: number, errors: number, warnings: number): string {
  const count = (number: number, what: string) => `${number} ${what}${number === 1 ? "" : "s"}`;
  if (volumes === 0) return "crypttab names no LUKS volume.";
  if (errors + warnings === 0) return `${count(volumes, "volume")}: nothing was found.`;
  return `${count(volumes, "volume")}: ${count(errors, "error")}, ${count(warnings, "warning")}.`;
}
