import { isError, NightlatchError } from "../core/errors.ts";
import { printable } from "../core/text.ts";
import { AGENT_CONFIG_LIMIT_BYTES, type AgentConfig, DEFAULT_AGENT_CONFIG } from "../formats/agent-config.ts";
import { parseAgentConfig } from "../formats/agent-config-file.ts";
import {
  CRYPTTAB_LIMIT_BYTES,
  type CrypttabEntry,
  devicePathOf,
  headerPathOf,
  parseCrypttab,
} from "../formats/crypttab.ts";
import { readVolumeHeader } from "../luks/header.ts";
import type { System } from "../system/port.ts";
import { AGENT_CONFIG, AGENT_SOCKET } from "./agent.ts";
import { bindingJson, formatBinding } from "./binding.ts";
import { type BootFacts, type Outlook, outlookOf } from "./boot-outlook.ts";
import { clevisAnswers } from "./clevis-askpass.ts";
import type { Command, CommandInput, ExitStatus, Terminal } from "./command.ts";
import { lookForOneshot, oneshotJson, oneshotLines } from "./oneshot-report.ts";
import { STATE_OPTION, stateFolderOf } from "./volume-input.ts";
import { type StatusWish, type VolumeStatus, volumeStatus } from "./volume-status.ts";

export const command: Command = {
  name: "status",
  summary: "show volumes, keyslots, bindings, and what happens at the next boot",
  operands: "[DEV]",
  maxOperands: 1,
  options: [
    { name: "offline", help: "ask no server and try no keyslot" },
    { name: "crypttab", value: "FILE", help: "which volumes there are", default: "/etc/crypttab" },
    { name: "config", value: "FILE", help: "the agent's configuration", default: AGENT_CONFIG },
    { name: "socket", value: "PATH", help: "the agent's socket", default: AGENT_SOCKET },
    STATE_OPTION,
  ],
  details: `Without DEV every volume of crypttab is shown. Each binding is tried: its server is asked, and the keyslot opened with the answer.
Nothing is changed. The status is 1 where a volume cannot be read.`,
  run,
};

interface Subject {
  readonly device: string;
  readonly entry: CrypttabEntry | null;
}

interface Shown extends Subject {
  readonly status: VolumeStatus | null;
  readonly outlook: Outlook | null;
  readonly error: NightlatchError | null;
}

async function run(input: CommandInput): Promise<ExitStatus> {
  const { options, switches, system, terminal } = input;
  const entries = await readCrypttab(system, options["crypttab"] ?? "");
  const { config, fault } = await readConfig(system, options["config"] ?? "");
  if (fault !== null) for (const line of tellFault(fault)) terminal.line(line);
  const subjects = await chooseSubjects(input, entries);
  const wish = { stateFolder: stateFolderOf(options), tries: !switches.has("offline"), signal: terminal.signal };
  // Side by side: of many volumes whose server is silent each would take its whole deadline.
  const looking = subjects.map((subject) => examine(system, subject, wish, config, options["socket"] ?? AGENT_SOCKET));
  const all = Promise.all(looking);
  all.catch(() => {}); // thrown below, by the first in the order that fails
  for (const one of looking) printVolume(terminal, await one);
  const shown = await all;
  if (shown.length === 0) terminal.line(`${options["crypttab"] ?? ""} names no volume. See: nightlatch status DEV`);
  const oneshot = await lookForOneshot(system);
  for (const line of oneshotLines(oneshot)) terminal.line(line);
  const ok = shown.every(({ error }) => error === null);
  terminal.result({ ok, volumes: shown.map(volumeJson), oneshot: oneshotJson(oneshot), ...faultJson(fault) });
  return ok ? 0 : 1;
}

async function examine(
  system: System,
  subject: Subject,
  wish: StatusWish,
  config: AgentConfig,
  agentSocket: string,
): Promise<Shown> {
  try {
    const name = subject.entry?.volume;
    const trust = (name === undefined ? undefined : config.volumes.get(name)?.trust) ?? config.trust;
    const named = { ...wish, trust, ...(name === undefined ? {} : { name }) };
    const status = await volumeStatus(system, subject.device, named);
    const outlook = outlookOf(await bootFacts(system, subject.entry, status, { config, agentSocket }));
    return { ...subject, status, outlook, error: null };
  } catch (error) {
    if (!(error instanceof NightlatchError)) throw error;
    return { ...subject, status: null, outlook: null, error };
  }
}

async function bootFacts(
  system: System,
  entry: CrypttabEntry | null,
  { bindings }: VolumeStatus,
  { config, agentSocket }: { readonly config: AgentConfig; readonly agentSocket: string },
): Promise<BootFacts> {
  const opening = bindings.filter(({ opens }) => opens === true).flatMap(({ binding }) => binding.urls);
  const isUntold = opening.length === 0 && bindings.some(({ opens }) => opens === null);
  return {
    entry,
    agentSocket,
    command: entry === null ? null : (config.volumes.get(entry.volume)?.command ?? null),
    opening: isUntold ? null : opening,
    hasBindings: bindings.length > 0,
    key: entry === null ? null : await findKey(system, entry),
    clevisAnswers: await clevisAnswers(system),
  };
}

/** crypttab(5): the third field, else a file of the volume's name in two folders. */
async function findKey(system: Pick<System, "stat">, { key, volume }: CrypttabEntry): Promise<BootFacts["key"]> {
  const usual = ["/etc/cryptsetup-keys.d", "/run/cryptsetup-keys.d"].map((folder) => `${folder}/${volume}.key`);
  for (const path of key === null ? usual : [key]) {
    const facts = await system.stat(path);
    if (facts !== null) return { path, isSocket: facts.kind === "socket" };
  }
  return null;
}

async function chooseSubjects({ operands, system }: CommandInput, entries: readonly CrypttabEntry[]) {
  const [device] = operands;
  if (device === undefined) return entries.map((entry) => ({ device: headerPathOf(entry), entry }));
  const byPath = entries.find((entry) => headerPathOf(entry) === device || entry.device === device);
  return [{ device, entry: byPath ?? (await findByUuid(system, device, entries)) }];
}

/** crypttab names most volumes by UUID, people by device. */
async function findByUuid(system: System, device: string, entries: readonly CrypttabEntry[]) {
  try {
    const { uuid } = await readVolumeHeader(system, device);
    return entries.find((entry) => devicePathOf(entry.device) === `/dev/disk/by-uuid/${uuid}`) ?? null;
  } catch (error) {
    if (error instanceof NightlatchError) return null; // told when the volume is examined
    throw error;
  }
}

async function readCrypttab(system: System, path: string): Promise<readonly CrypttabEntry[]> {
  try {
    return parseCrypttab(await system.readFile(path, CRYPTTAB_LIMIT_BYTES)).entries;
  } catch (error) {
    if (isError(error, "file/missing")) return [];
    throw error;
  }
}

/** Passed over where it cannot be read, as the agent passes it over: a slip in it hides no volume. */
async function readConfig(
  system: System,
  path: string,
): Promise<{ readonly config: AgentConfig; readonly fault: NightlatchError | null }> {
  try {
    return { config: parseAgentConfig(await system.readFile(path, AGENT_CONFIG_LIMIT_BYTES), path), fault: null };
  } catch (error) {
    if (!(error instanceof NightlatchError)) throw error;
    return { config: DEFAULT_AGENT_CONFIG, fault: isError(error, "file/missing") ? null : error };
  }
}

const tellFault = ({ message, code, meaning, remedy }: NightlatchError): readonly string[] => [
  `${message} [${code}]`,
  ...[meaning, remedy].filter((text) => text !== undefined).map((text) => `  ${text}`),
];

function faultJson(fault: NightlatchError | null): Record<string, unknown> {
  if (fault === null) return {};
  const { code, message, meaning, remedy } = fault;
  return { config: { code, message, meaning, remedy } };
}

function printVolume(terminal: Terminal, { device, entry, status, outlook, error }: Shown): void {
  const name = entry === null ? device : `${entry.volume}  ${device}`;
  if (status === null) {
    terminal.line(`${name}\n  ${error?.message ?? ""} [${error?.code ?? ""}]`);
    if (error?.remedy !== undefined) terminal.line(`  ${error.remedy}`);
    return;
  }
  const { version, uuid, label, keyslots } = status;
  const title = [name, `LUKS${version}`, printable(uuid), ...(label === "" ? [] : [`"${printable(label)}"`])];
  terminal.line(`${title.join("  ")}  ${keyslots.used} of ${keyslots.total} keyslots used`);
  const row = (what: string, text: string) => terminal.line(`  ${what.padEnd(10)} ${text}`);
  for (const { binding, opens, error } of status.bindings) {
    const verdict = opens === null ? "" : opens ? ": opens" : ": does not open now";
    row("binding", `${formatBinding(binding)}, token ${binding.token.id}${verdict}`);
    if (error !== null) row("", `${error.message} [${error.code}]`);
  }
  for (const token of status.others) {
    const where = token.keyslots.length === 0 ? "no keyslot" : `keyslot ${token.keyslots.join(", ")}`;
    row("token", `${printable(token.type)}, ${where}, token ${token.id}`);
  }
  for (const { slot, expires } of status.staged) {
    row("staged", `a reboot: keyslot ${slot} holds a disposable key until ${new Date(expires * 1000).toISOString()}`);
  }
  for (const text of status.leftovers) row("left over", text);
  for (const { text, remedy } of status.warnings) row("warning", remedy === null ? text : `${text}. ${remedy}`);
  if (outlook !== null) row("next boot", outlook.text);
}

function volumeJson({ device, entry, status, outlook, error }: Shown): Record<string, unknown> {
  const name = entry?.volume ?? null;
  if (status === null) {
    const { code, message, remedy } = error ?? {};
    return { name, device, error: { code, message, remedy } };
  }
  const { version, uuid, label, keyslots, staged, leftovers, warnings } = status;
  return {
    name,
    device,
    version,
    uuid,
    label,
    keyslots,
    bindings: status.bindings.map(({ binding, opens, error }) => ({
      ...bindingJson(binding),
      opens,
      ...(error === null ? {} : { error: { code: error.code, message: error.message, remedy: error.remedy } }),
    })),
    tokens: status.others.map(({ id, type, keyslots }) => ({ token: id, type, keyslots })),
    staged: staged.map(({ slot, boot, expires }) => ({ keyslot: slot, boot, expires })),
    leftovers,
    warnings: warnings.map(({ text }) => text),
    nextBoot: outlook,
  };
}
