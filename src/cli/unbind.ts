import { NightlatchError } from "../core/errors.ts";
import { planRemovals } from "../luks/authority.ts";
import { readHeader } from "../luks/change.ts";
import { unbindVolume } from "../luks/unbind.ts";
import { type Binding, bindingJson, formatBinding, listBindings } from "./binding.ts";
import { settledJson } from "./change-report.ts";
import type { Command, CommandInput, ExitStatus } from "./command.ts";
import { beginVolumeChange } from "./volume-change.ts";
import { KEY_FILE_OPTION, namedSlots, parseNumber, STATE_OPTION } from "./volume-input.ts";
import { recordRemoval } from "./volume-record.ts";

export const command: Command = {
  name: "unbind",
  summary: "remove a binding: its keyslot, then its token",
  operands: "DEV [latch|tang|PIN|URL]",
  minOperands: 1,
  maxOperands: 2,
  options: [
    { name: "slot", value: "N", help: "the binding of this keyslot; it may go though its server does not prove it" },
    { name: "token", value: "N", help: "the binding of this token" },
    { name: "all", help: "every binding that fits, where there are several" },
    KEY_FILE_OPTION,
    STATE_OPTION,
  ],
  details: `Asks for a passphrase that stays: a keyslot is removed only after another one was opened with it. The server is asked too, and what
it releases has to open the keyslot that goes: a token can be edited by whoever had the disk, to name a keyslot that is not its own. Where
the server does not answer or was revoked, name the keyslot with --slot. The latch at the server is not touched; revoke the machine there if
it is not to be trusted any more. A run that is cut short is completed by the next bind or unbind.`,
  run,
};

async function run(input: CommandInput): Promise<ExitStatus> {
  const { operands, system, terminal } = input;
  const [device = ""] = operands;
  const wanted = parseSelection(input);
  await using change = await beginVolumeChange(input, device);
  const all = listBindings(await readHeader(system, change));
  const chosen = all.filter(wanted);
  const hasCompleted = change.settled.some(
    ({ intent, outcome }) => intent.operation === "unbind" && outcome === "completed",
  );
  if (chosen.length === 0 && !hasCompleted) throw nothingToRemove(device, all);
  if (chosen.length > 1 && !input.switches.has("all")) throw ambiguous(device, chosen);
  if (chosen.length > 0) {
    const tokens = chosen.map((binding) => binding.token);
    await unbindVolume(system, change, await planRemovals(system, change, tokens, namedSlots(input)));
  }
  await recordRemoval(input, change);
  for (const binding of chosen) terminal.line(`Removed from ${device}: ${formatBinding(binding)}`);
  const removed = chosen.map(bindingJson);
  terminal.result({ ok: true, device, uuid: change.uuid, removed, ...settledJson(change) });
  return 0;
}

function parseSelection(input: CommandInput): (binding: Binding) => boolean {
  const what = input.operands[1]?.replace(/\/+$/, "");
  const slot = parseNumber(input, "slot");
  const token = parseNumber(input, "token");
  return (binding) =>
    (what === undefined || binding.kind === what || binding.urls.includes(what)) &&
    (slot === undefined || binding.token.keyslots.includes(slot)) &&
    (token === undefined || binding.token.id === token);
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
