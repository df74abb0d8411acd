// @ts-nocheck
import { bindingJson, formatBinding } from "../../bindings/binding.ts";
import { describeForeign, foreignJson } from "../../bindings/foreign-token.ts";
import type { SharesStatus } from "../../bindings/shares.ts";
import type { VolumeStatus } from "../../bindings/volume-status.ts";
import {
  type CheckOptions,
  factsAround,
  type LookedAt,
  lookAt,
  readAround,
  type Surroundings,
  strangerEntry,
} from "../../check/collect/facts.ts";
import type { CheckFacts } from "../../check/judge/facts.ts";
import { foretell, type Outlook } from "../../check/judge/outlook.ts";
import type { NightlatchError } from "../../core/errors.ts";
import { AGENT_CONFIG, AGENT_SOCKET } from "../../core/places.ts";
import { printable } from "../../core/text.ts";
import type { CrypttabEntry } from "../../formats/systemd/crypttab.ts";
import { hearCrypttab } from "../../formats/systemd/crypttab-heard.ts";
import { isLuksVolume, kindOf } from "../../formats/systemd/crypttab-places.ts";
import { findKey, readCrypttab } from "../../host/crypttab.ts";
import type { System } from "../../system/port.ts";
import { type CommandInput, defineCommand, type ExitStatus, type Options, type Terminal } from "../command.ts";
import { STATE_OPTION, stateFolderOf } from "../volume/input.ts";
import { findEntry } from "./crypttab/entry.ts";
import { lookForOneshot, oneshotJson, oneshotLines } from "./oneshot/report.ts";
import { lookForTether, tetherJson, tetherLines } from "./tether/report.ts";

const OPTIONS = {
  offline: { help: "ask no server and try no keyslot" },
  crypttab: { value: "FILE", help: "which volumes there are", default: "/etc/crypttab" },
  fstab: { value: "FILE", help: "where they are mounted", default: "/etc/fstab" },
  config: { value: "FILE", help: "the agent's configuration", default: AGENT_CONFIG },
  socket: { value: "PATH", help: "the agent's socket", default: AGENT_SOCKET },
  state: STATE_OPTION,
} as const satisfies Options;

type Input = CommandInput<typeof OPTIONS>;

export const command = defineCommand({
  name: "status",
  summary: "show volumes, keyslots, bindings, and what happens at the next boot",
  operands: "[DEV]",
  maxOperands: 1,
  options: OPTIONS,
  details: `Without DEV every volume of crypttab is shown. Each binding is tried: its server is asked, and the keyslot opened with the answer.
Nothing is changed. The status is 1 where a volume cannot be read.`,
  run,
});

interface Shown {
  readonly device: string;
  readonly entry: CrypttabEntry | null;
  readonly status: VolumeStatus | null;
  readonly outlook: Outlook | null;
  readonly error: NightlatchError | null;
}

async function run(input: Input): Promise<ExitStatus> {
  const { options, system, terminal } = input;
  const checkOptions: CheckOptions = {
    crypttab: options.crypttab,
    fstab: options.fstab,
    config: options.config,
    socket: options.socket,
    stateFolder: stateFolderOf(options.state),
    tries: !options.offline,
    signal: terminal.signal,
  };
  const around = await readAround(system, checkOptions);
  const { configError: fault } = around;
  if (fault !== null) for (const line of tellFault(fault)) terminal.line(line);
  const shown: Shown[] = [];
  for await (const one of lookAtAll(input, checkOptions, around)) {
    shown.push(one);
    printVolume(terminal, one);
  }
  if (shown.length === 0) terminal.line(`${options.crypttab} names no volume. See: nightlatch status DEV`);
  const oneshot = await lookForOneshot(system);
  for (const line of oneshotLines(oneshot)) terminal.line(line);
  const tether = await lookForTether(system, around.config.tether);
  for (const line of tetherLines(tether)) terminal.line(line);
  const ok = shown.every(({ error }) => error === null);
  const machine = { oneshot: oneshotJson(oneshot), tether: tetherJson(tether) };
  terminal.result({ ok, volumes: shown.map(volumeJson), ...machine, ...faultJson(fault) });
  return ok ? 0 : 1;
}

/** Side by side, in crypttab's order. */
async function* lookAtAll(
  { operands, system }: Input,
  checkOptions: CheckOptions,
  around: Surroundings,
): AsyncGenerator<Shown> {
  const crypttab = await readCrypttab(system, checkOptions.crypttab);
  const [device] = operands;
  const { entries: heard } = hearCrypttab(crypttab, around.cmdline).crypttab;
  const found = device === undefined ? null : await findEntry(system, device, heard);
  if (device !== undefined && found === null) {
    yield await lookAtStranger(system, checkOptions, device, around);
    return;
  }
  const entries = found === null ? heard : [found];
  const looked = entries.map((entry) => ({ entry, volume: lookAt(system, checkOptions, entry, around) }));
  const facts = await factsAround(system, checkOptions, crypttab, around, []);
  for (const { entry, volume } of looked) yield await show(system, facts, entry, await volume, device);
}

async function show(
  system: System,
  around: CheckFacts,
  entry: CrypttabEntry,
  { facts, status }: LookedAt,
  device = facts.device,
): Promise<Shown> {
  // What is no LUKS volume has no header, and nothing wrong with that.
  const error = !isLuksVolume(entry) && facts.error?.code !== "file/missing" ? null : facts.error;
  if (error !== null) return { device, entry, status: null, outlook: null, error };
  const key = await findKey(system, entry);
  const own = { ...facts, error };
  const outlook = foretell({ ...around, volumes: [own] }, own, { program: facts.command?.program ?? null, key });
  return { device, entry, status, outlook, error };
}

/** A volume that crypttab does not have: the initramfs may open it all the same. */
async function lookAtStranger(
  system: System,
  checkOptions: CheckOptions,
  device: string,
  around: Surroundings,
): Promise<Shown> {
  const entry = strangerEntry(device);
  const { facts, status } = await lookAt(system, checkOptions, entry, around);
  const { error, early } = facts;
  if (error !== null) return { device, entry: null, status: null, outlook: null, error };
  if (early === null) {
    const text = "is not in crypttab, and the initramfs does not open it: nothing opens it";
    return { device, entry: null, status, outlook: { will: "closed", stage: "system", text }, error };
  }
  const machine = await factsAround(
    system,
    checkOptions,
    { entries: [], faults: [], stopsAt: null, unreadable: [] },
    around,
    [facts],
  );
  return { device, entry: null, status, outlook: foretell(machine, facts, { program: null, key: null }), error };
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
  const row = (what: string, text: string) => terminal.line(`  ${what.padEnd(10)} ${text}`);
  if (error !== null) {
    terminal.line(`${name}\n  ${error.message} [${error.code}]`);
    if (error.remedy !== undefined) terminal.line(`  ${error.remedy}`);
    return;
  }
  if (status === null) {
    terminal.line(`${name}  ${entry === null ? "" : kindOf(entry)}`);
    if (outlook !== null) row("next boot", outlook.text);
    return;
  }
  const { version, uuid, label, keyslots } = status;
  const title = [name, `LUKS${version}`, printable(uuid), ...(label === "" ? [] : [`"${printable(label)}"`])];
  terminal.line(`${title.join("  ")}  ${keyslots.used} of ${keyslots.total} keyslots used`);
  for (const { binding, opens, error, shares, rotated } of status.bindings) {
    const verdict = opens === null ? "" : opens ? ": opens" : ": does not open now";
    row("binding", `${formatBinding(binding)}, token ${binding.token.id}${verdict}`);
    if (error !== null) row("", `${error.message} [${error.code}]`);
    for (const line of shareLines(shares)) row("", line);
    for (const { url } of rotated)
      row("", `${url} no longer advertises its keys. New ones: nightlatch rotate ${device}`);
  }
  for (const token of status.others) {
    const where = token.keyslots.length === 0 ? "no keyslot" : `keyslot ${token.keyslots.join(", ")}`;
    row("token", `${printable(token.type)}, ${where}, token ${token.id}`);
    const asks = describeForeign(token);
    if (asks !== null) row("", asks);
  }
  for (const { slot, expires } of status.staged) {
    row("staged", `a reboot: keyslot ${slot} holds a disposable key until ${new Date(expires * 1000).toISOString()}`);
  }
  for (const { text } of status.leftovers) row("left over", text);
  const { warnings, noPassphrase } = status;
  for (const { text, remedy } of noPassphrase === null ? warnings : [...warnings, noPassphrase])
    row("warning", remedy === null ? text : `${text}. ${remedy}`);
  if (outlook !== null) row("next boot", outlook.text);
}

/** The threshold, and each share below it with whether it answers. */
function shareLines(shares: SharesStatus | null): string[] {
  if (shares === null) return [];
  const { threshold, children } = shares;
  const answering = children.filter(({ answers }) => answers).length;
  const now = children.some(({ answers }) => answers !== null)
    ? `; ${answering} ${answering === 1 ? "answers" : "answer"} now`
    : "";
  const lines = children.flatMap(({ binding, answers, error, shares }) => {
    const verdict = answers === null ? "" : answers ? ": answers" : ": does not answer now";
    const told = error === null || shares !== null ? [] : [`  ${error.message} [${error.code}]`];
    return [
      `${[binding.kind, ...(shares === null ? binding.urls : [])].join(" ")}${verdict}`,
      ...told,
      ...shareLines(shares),
    ];
  });
  return [`${threshold} of ${children.length} open it${now}`, ...lines].map((line) => `  ${line}`);
}

function sharesJson(shares: SharesStatus | null): Record<string, unknown> {
  if (shares === null) return {};
  const { threshold, children } = shares;
  const told = children.map(({ binding: { kind, urls }, answers, error, shares }) => {
    const why = error === null ? {} : { error: { code: error.code, message: error.message, remedy: error.remedy } };
    return { kind, urls, answers, ...why, ...sharesJson(shares) };
  });
  return { threshold, shares: told };
}

function volumeJson({ device, entry, status, outlook, error }: Shown): Record<string, unknown> {
  const name = entry?.volume ?? null;
  if (error !== null) {
    const { code, message, remedy } = error;
    return { name, device, error: { code, message, remedy } };
  }
  if (status === null) return { name, device, kind: entry === null ? null : kindOf(entry), nextBoot: outlook };
  const { version, uuid, label, keyslots, staged, leftovers, warnings } = status;
  return {
    name,
    device,
    version,
    uuid,
    label,
    keyslots,
    bindings: status.bindings.map(({ binding, opens, error, shares, rotated }) => ({
      ...bindingJson(binding),
      opens,
      ...sharesJson(shares),
      rotated,
      ...(error === null ? {} : { error: { code: error.code, message: error.message, remedy: error.remedy } }),
    })),
    tokens: status.others.map((token) => {
      return { token: token.id, type: token.type, keyslots: token.keyslots, ...foreignJson(token) };
    }),
    staged: staged.map(({ slot, boot, expires }) => ({ keyslot: slot, boot, expires })),
    leftovers: leftovers.map(({ text }) => text),
    warnings: warnings.map(({ text }) => text),
    noPassphrase: status.noPassphrase !== null,
    nextBoot: outlook,
  };
}
