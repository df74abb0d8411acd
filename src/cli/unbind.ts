import { NightlatchError } from "../core/errors.ts";
import { beginChange } from "../luks/begin.ts";
import { readHeader } from "../luks/change.ts";
import { unbindVolume } from "../luks/unbind.ts";
import { type Binding, bindingJson, formatBinding, listBindings } from "./binding.ts";
import { reportSettled, settledJson } from "./change-report.ts";
import type { Command, CommandInput, ExitStatus } from "./command.ts";
import { KEY_FILE_OPTION, proveOverNetwork, readPassphrase, STATE_OPTION, stateFolderOf } from "./volume-input.ts";

export const command: Command = {
  name: "unbind",
  summary: "remove a binding: its keyslot, then its token",
  operands: "DEV [latch|tang|PIN|URL]",
  minOperands: 1,
  maxOperands: 2,
  options: [
    { name: "slot", value: "N", help: "the binding of this keyslot" },
    { name: "token", value: "N", help: "the binding of this token" },
    { name: "all", help: "every binding that fits, where there are several" },
    KEY_FILE_OPTION,
    STATE_OPTION,
  ],
  details: `Asks for a passphrase that stays: a keyslot is removed only after another one was opened with it. The latch at the server is not
touched; revoke the machine there if it is not to be trusted any more. A run that is cut short is completed by the next bind or unbind.`,
  run,
};

async function run(input: CommandInput): Promise<ExitStatus> {
  const { operands, options, system, terminal } = input;
  const [device = ""] = operands;
  const wanted = parseSelection(input);
  await using change = await beginChange(system, {
    device,
    stateFolder: stateFolderOf(options),
    passphrase: () => readPassphrase(input, device),
    prove: proveOverNetwork(system, terminal.signal),
  });
  reportSettled(terminal, change);
  const all = listBindings(await readHeader(system, change));
  const chosen = all.filter(wanted);
  const hasCompleted = change.settled.some(
    ({ intent, outcome }) => intent.operation === "unbind" && outcome === "completed",
  );
  if (chosen.length === 0 && !hasCompleted) throw nothingToRemove(device, all);
  if (chosen.length > 1 && !input.switches.has("all")) throw ambiguous(device, chosen);
  if (chosen.length > 0) {
    await unbindVolume(
      system,
      change,
      chosen.map((binding) => binding.token),
    );
  }
  for (const binding of chosen) terminal.line(`Removed from ${device}: ${formatBinding(binding)}`);
  const removed = chosen.map(bindingJson);
  terminal.result({ ok: true, device, uuid: change.uuid, removed, ...settledJson(change) });
  return 0;
}

function parseSelection({ operands, options }: CommandInput): (binding: Binding) => boolean {
  const what = operands[1]?.replace(/\/+$/, "");
  const slot = parseNumber("slot", options["slot"]);
  const token = parseNumber("token", options["token"]);
  return (binding) =>
    (what === undefined || binding.kind === what || binding.urls.includes(what)) &&
    (slot === undefined || binding.token.keyslots.includes(slot)) &&
    (token === undefined || binding.token.id === token);
}

function parseNumber(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^\d{1,2}$/.test(text)) return Number(text);
  throw new NightlatchError("usage/wrong", `unbind: --${name} ${JSON.stringify(text.slice(0, 40))} is not a number`);
}

function nothingToRemove(device: string, all: readonly Binding[]): NightlatchError {
  return new NightlatchError("luks/not-bound", `${device} has no such binding`, {
    meaning: "Nothing was changed.",
    remedy: all.length === 0 ? "It has none at all." : `It has: ${all.map(formatBinding).join("; ")}.`,
  });
}

function ambiguous(device: string, chosen: readonly Binding[]): NightlatchError {
  return new NightlatchError("usage/wrong", `unbind: ${device} has ${chosen.length} bindings of that kind`, {
    meaning: "Nothing was changed.",
    remedy: `Say which with --slot, or pass --all: ${chosen.map(formatBinding).join("; ")}.`,
  });
}
