// @ts-nocheck
import { asksServer, type Binding, bindingJson, formatBinding, listBindings } from "../../../bindings/binding.ts";
import { proveOverNetwork } from "../../../bindings/recovery.ts";
import { NightlatchError } from "../../../core/errors.ts";
import { canonicalAddress } from "../../../formats/network/server-address.ts";
import type { Removal } from "../../../formats/own/intent.ts";
import { planRemovals } from "../../../luks/change/authority.ts";
import type { HeldVolume } from "../../../luks/change/begin.ts";
import { type Change, readHeader, type Settled } from "../../../luks/change/change.ts";
import { unbindVolume } from "../../../luks/change/unbind.ts";
import { releaseSetup } from "../../../setup/files.ts";
import { type CommandInput, defineCommand, type ExitStatus, type Options } from "../../command.ts";
import { askingForPins } from "../../volume/card-pin.ts";
import { beginVolumeChange, holdForChange } from "../../volume/change.ts";
import { settledJson } from "../../volume/change-report.ts";
import { KEY_FILE_OPTION, namedSlots, parseNumber, STATE_OPTION, stateFolderOf } from "../../volume/input.ts";
import { recordRemoval } from "../../volume/record.ts";
import { listRemains } from "./list.ts";

const OPTIONS = {
  slot: { value: "N", help: "the binding of this keyslot; it may go though its server does not prove it" },
  token: { value: "N", help: "the binding of this token" },
  all: { help: "every binding that fits, where there are several" },
  list: { help: "what there is on all volumes, remembered keys too, and what takes it off; removes nothing" },
  "key-file": KEY_FILE_OPTION,
  state: STATE_OPTION,
} as const satisfies Options;

type Input = CommandInput<typeof OPTIONS>;

export const command = defineCommand({
  name: "unbind",
  summary: "remove a binding: its keyslot, then its token",
  operands: "DEV [latch|tang|PIN] [URL] | --list",
  minOperands: 0,
  maxOperands: 3,
  options: OPTIONS,
  details: `URL is the server's address or a latch's own, however it is spelt. Asks for a passphrase that stays: a keyslot is removed only after
another one was opened with it. The server is asked too, and what it releases has to open the keyslot that goes: a token can be edited by
whoever had the disk, to name a keyslot that is not its own. Where the server does not answer or was revoked, name the keyslot with --slot.
The latch at the server is not touched; revoke the machine there if it is not to be trusted any more. A run that is cut short is completed
by the next bind or unbind.`,
  run,
});

/**
 * What goes. It is known before a passphrase is asked for, unless an earlier run has left
 * something.
 */
interface Choice {
  readonly chosen: readonly Binding[];
  readonly removes: readonly Removal[];
}

async function run(input: Input): Promise<ExitStatus> {
  const { operands, options, system, terminal } = input;
  const [device] = operands;
  if (options.list && device === undefined) return await listRemains(input, stateFolderOf(options.state));
  if (options.list || device === undefined) {
    throw new NightlatchError("usage/wrong", "unbind: name a volume, or pass --list and none", {
      remedy: "See: nightlatch unbind --help",
    });
  }
  const wanted = parseSelection(input);
  await using held = await holdForChange(input, device);
  const early = held.left.length > 0 ? null : await choose(input, held, wanted, []);
  if (options["key-file"] === undefined) {
    for (const binding of early?.chosen ?? []) terminal.hint(`To be removed from ${device}: ${formatBinding(binding)}`);
  }
  await using change = await beginVolumeChange(input, held);
  const { chosen, removes } = early ?? (await choose(input, held, wanted, change.settled));
  if (chosen.length > 0) await unbindVolume(system, change, removes);
  await recordRemoval(input, change);
  for (const binding of chosen) terminal.line(`Removed from ${device}: ${formatBinding(binding)}`);
  const takenBack = await releaseInitramfs(input, change);
  const removed = chosen.map(bindingJson);
  terminal.result({ ok: true, device, uuid: change.uuid, removed, initramfs: takenBack, ...settledJson(change) });
  return 0;
}

/**
 * Takes back what was written for the initramfs, where no binding is left that needs it. The lock
 * of the change is held.
 * @returns the files that are as they were before
 */
async function releaseInitramfs({ system, terminal }: Input, change: Change): Promise<readonly string[]> {
  const { volume, stateFolder, uuid } = change;
  if (listBindings(await readHeader(system, { volume })).length > 0) return [];
  const released = await releaseSetup(system, stateFolder, uuid);
  if (released === null) return [];
  for (const path of released.restored) terminal.line(`Taken back: ${path}`);
  for (const path of released.kept) terminal.line(`Kept, for it was changed since: ${path}`);
  terminal.line("What the initramfs was set up with stays in it until it is made anew. Packages stay too.");
  return released.restored;
}

/** @param settled what an earlier run had left, which was settled just now */
async function choose(
  input: Input,
  { volume }: HeldVolume,
  wanted: (binding: Binding) => boolean,
  settled: readonly Settled[],
): Promise<Choice> {
  const { options, system, terminal } = input;
  const { device } = volume;
  const all = listBindings(await readHeader(system, { volume }));
  const chosen = all.filter(wanted);
  const hasCompleted = settled.some(({ intent, outcome }) => intent.operation === "unbind" && outcome === "completed");
  if (chosen.length === 0 && !hasCompleted) throw nothingToRemove(device, all);
  if (chosen.length > 1 && !options.all) throw ambiguous(device, chosen);
  const tokens = chosen.map((binding) => binding.token);
  const prove = proveOverNetwork(askingForPins(system, terminal), terminal.signal);
  return { chosen, removes: await planRemovals(system, { volume, prove }, tokens, namedSlots(options.slot)) };
}

/** @throws NightlatchError usage/wrong */
function parseSelection({ operands, options }: Input): (binding: Binding) => boolean {
  const words = operands.slice(1);
  const pins = words.filter((word) => PIN.test(word));
  const addresses = words.filter((word) => !PIN.test(word));
  const slot = parseNumber("slot", options.slot);
  const token = parseNumber("token", options.token);
  const wrong = addresses.find((address) => canonicalAddress(address) === null);
  if (wrong !== undefined) {
    throw new NightlatchError("usage/wrong", `unbind: ${JSON.stringify(wrong.slice(0, 80))} is not an address`, {
      meaning: "Nothing was changed.",
      remedy: "Say latch, tang, another pin, or the address of the server as nightlatch status shows it.",
    });
  }
  return (binding) =>
    pins.every((pin) => binding.kind === pin) &&
    addresses.every((address) => asksServer(binding, address)) &&
    (slot === undefined || binding.token.keyslots.includes(slot)) &&
    (token === undefined || binding.token.id === token);
}

/** A word without a dot, colon or slash is the name of a pin, or `damaged`. */
const PIN = /^[a-z0-9-]+$/;

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
