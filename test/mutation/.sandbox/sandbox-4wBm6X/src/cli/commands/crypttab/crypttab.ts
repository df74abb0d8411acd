// @ts-nocheck
import { type CheckOptions, factsAround, lookAt, readAround, strangerEntry } from "../../../check/collect/facts.ts";
import type { VolumeFacts } from "../../../check/judge/facts.ts";
import { judgeVolume } from "../../../check/judge/volume.ts";
import { NightlatchError } from "../../../core/errors.ts";
import { AGENT_CONFIG, AGENT_SOCKET, MACHINE_STATE } from "../../../core/places.ts";
import { printable, shellWord } from "../../../core/text.ts";
import { type CrypttabEntry, findOption, formatCrypttabLine, isVolumeName } from "../../../formats/systemd/crypttab.ts";
import type { FstabEntry } from "../../../formats/systemd/fstab.ts";
import { readCrypttab } from "../../../host/crypttab.ts";
import { type CommandInput, defineCommand, type ExitStatus, type Options } from "../../command.ts";
import { findEntry } from "./entry.ts";
import { type CrypttabSource, nameSource, UNKNOWN_DATA } from "./source.ts";

const OPTIONS = {
  crypttab: { value: "FILE", help: "which volumes there are", default: "/etc/crypttab" },
  fstab: { value: "FILE", help: "where they are mounted", default: "/etc/fstab" },
  socket: { value: "PATH", help: "the agent's socket", default: AGENT_SOCKET },
  header: { value: "FILE", help: "the header lies there, and DEV holds the data alone" },
} as const satisfies Options;

type Input = CommandInput<typeof OPTIONS>;

export const command = defineCommand({
  name: "crypttab",
  summary: "print the lines of crypttab and fstab with which a bound volume opens at boot",
  operands: "DEV [NAME]",
  minOperands: 1,
  maxOperands: 2,
  options: OPTIONS,
  details: `Prints, and changes nothing. Of a volume that is in crypttab already it prints the lines that are there, and what to change in them.
For another, NAME is the volume's name under /dev/mapper, and of the mount point in the line for fstab; both are yours to choose.

  nightlatch crypttab /dev/sdb1 backup
  nightlatch crypttab /dev/sdb backup --header /etc/backup.luks`,
  run,
});

async function run(input: Input): Promise<ExitStatus> {
  const { operands, options, system, terminal } = input;
  const [device = "", name] = operands;
  const header = options.header ?? null;
  const checkOptions: CheckOptions = {
    crypttab: options.crypttab,
    fstab: options.fstab,
    config: AGENT_CONFIG,
    socket: options.socket,
    stateFolder: MACHINE_STATE,
    tries: false,
    signal: terminal.signal,
  };
  const crypttab = await readCrypttab(system, checkOptions.crypttab);
  const around = await readAround(system, checkOptions);
  const find = (path: string) => findEntry(system, path, crypttab.entries);
  const entry = header === null ? await find(device) : ((await find(header)) ?? (await find(device)));
  const looked = await lookAt(system, checkOptions, entry ?? strangerEntry(header ?? device), around);
  const { facts, status } = looked;
  if (facts.error !== null) throw facts.error;
  if (facts.bindings.length === 0) {
    const holder = header ?? device;
    terminal.hint(`nightlatch: ${holder} has no binding yet: nightlatch bind ${holder} latch INVITE`);
  }
  const uuid = status?.uuid ?? null;
  if (entry === null && facts.early === null) {
    return newLines(input, facts, uuid, name, await nameSource(system, device, header));
  }
  const machine = await factsAround(system, checkOptions, crypttab, around, [facts]);
  return presentLines(input, checkOptions, facts, uuid, entry, judgeVolume(machine, facts));
}

/** Of a volume that nothing opens yet. */
function newLines(
  { operands, options, terminal }: Input,
  facts: VolumeFacts,
  uuid: string | null,
  name: string | undefined,
  { source, header }: CrypttabSource,
): ExitStatus {
  const [device = ""] = operands;
  const volume = name ?? `luks-${uuid}`;
  if (!isVolumeName(volume) || /[\s\\#]/.test(volume)) {
    throw new NightlatchError("usage/wrong", `${JSON.stringify(volume)} is no name for a volume`, {
      remedy: "Use letters, digits, dashes and underscores.",
    });
  }
  const overNetwork = facts.bindings.some(({ asksNetwork }) => asksNetwork);
  const crypttab = formatCrypttabLine({ volume, source, header, socket: options.socket, overNetwork });
  const fstab = `/dev/mapper/${volume} /mnt/${volume} auto ${overNetwork ? "defaults,_netdev,nofail" : "defaults"} 0 2`;
  terminal.line(`# /etc/crypttab\n${crypttab}\n# /etc/fstab\n${fstab}`);
  if (source === UNKNOWN_DATA) {
    terminal.hint(
      `nightlatch: ${device} is a header alone. Put the device of its data in the place of ${UNKNOWN_DATA}, ` +
        `or name both: nightlatch crypttab DEV ${volume} --header ${shellWord(device)}`,
    );
  }
  const lines = { crypttab, fstab, changes: [] };
  terminal.result({ ok: true, device, header, uuid, name: volume, stage: "system", overNetwork, ...lines });
  return 0;
}

/** Of one that the boot opens already: what is there, and what to change. */
function presentLines(
  { operands, terminal }: Input,
  checkOptions: CheckOptions,
  { early, mounts, bindings }: VolumeFacts,
  uuid: string | null,
  entry: CrypttabEntry | null,
  findings: ReturnType<typeof judgeVolume>,
): ExitStatus {
  const [device = ""] = operands;
  const textOf = ({ fields }: CrypttabEntry | FstabEntry) => fields.join(" ");
  if (early !== null) terminal.line(`# ${device} is opened in the initramfs: ${early.why}. No agent runs there.`);
  if (entry === null) terminal.line(`# It needs no line in ${checkOptions.crypttab}.`);
  else terminal.line(`# line ${entry.line} of ${checkOptions.crypttab}, as it is\n${printable(textOf(entry), 4000)}`);
  for (const mount of mounts) {
    terminal.line(`# line ${mount.line} of ${checkOptions.fstab}, as it is\n${printable(textOf(mount), 4000)}`);
  }
  const changes = [...new Set(findings.flatMap(({ remedy }) => remedy.split("\n")))].filter((step) =>
    /^line \d+ of /.test(step),
  );
  for (const step of changes) terminal.line(`# to change\n${step}`);
  if (changes.length === 0) terminal.line("# There is nothing to change in them.");
  terminal.line("# What else it takes: nightlatch check");
  terminal.result({
    ok: true,
    device,
    header: entry === null ? null : (findOption(entry, "header")?.value ?? null),
    uuid,
    name: entry?.volume ?? null,
    stage: early === null ? "system" : "initramfs",
    overNetwork: bindings.some(({ asksNetwork }) => asksNetwork),
    crypttab: entry === null ? null : textOf(entry),
    fstab: mounts[0] === undefined ? null : textOf(mounts[0]),
    changes,
  });
  return 0;
}
