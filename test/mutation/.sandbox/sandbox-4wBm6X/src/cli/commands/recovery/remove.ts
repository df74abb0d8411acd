// @ts-nocheck
import { listBindings } from "../../../bindings/binding.ts";
import { NightlatchError } from "../../../core/errors.ts";
import { shellWord } from "../../../core/text.ts";
import { readHeader } from "../../../luks/change/change.ts";
import { planRecoveryRemovals } from "../../../luks/change/recovery.ts";
import { unbindVolume } from "../../../luks/change/unbind.ts";
import type { HeldToken } from "../../../luks/header/bindings.ts";
import type { Luks2Volume } from "../../../luks/header/header.ts";
import { listRecovery, typedSlots } from "../../../luks/header/typed.ts";
import { rememberedSlotOf } from "../../../luks/remembered-key.ts";
import { type CommandInput, defineCommand, type ExitStatus, type Options } from "../../command.ts";
import { holdForChange } from "../../volume/change.ts";
import { settledJson } from "../../volume/change-report.ts";
import { KEY_FILE_OPTION, parseNumber, STATE_OPTION, stateFolderOf } from "../../volume/input.ts";
import { BY_BINDING_OPTION, beginByAuthority } from "./authority.ts";
import { readLuks2, requireRecovery } from "./header.ts";

const OPTIONS = {
  slot: { value: "N", help: "the recovery key of this keyslot" },
  all: { help: "every recovery key, where there are several" },
  yes: { help: "ask nothing" },
  "by-binding": BY_BINDING_OPTION,
  "key-file": KEY_FILE_OPTION,
  state: STATE_OPTION,
} as const satisfies Options;

type Input = CommandInput<typeof OPTIONS>;

export const command = defineCommand({
  name: "recovery remove",
  summary: "remove a recovery key: its keyslot, then its token",
  operands: "DEV",
  minOperands: 1,
  maxOperands: 1,
  options: OPTIONS,
  details: `Recovery keys of systemd-cryptenroll are removed too. The key itself is not needed, but another way in is: a keyslot is removed only
after another one was opened. Where nothing but bindings would be left, that is said and asked. A run that is cut short is completed by
the next change of the volume.`,
  run,
});

async function run(input: Input): Promise<ExitStatus> {
  const { operands, options, system, terminal } = input;
  const [device = ""] = operands;
  const slot = parseNumber("slot", options.slot);
  await readLuks2(system, device);
  await using held = await holdForChange(input, device);
  const isSettled = held.left.length === 0;
  const early = isSettled ? choose(input, await readLuks2(system, device), slot) : null;
  if (early !== null) await requireConsent(input, early.header, early.tokens);
  await using change = await beginByAuthority(
    input,
    held,
    early?.tokens.flatMap(({ keyslots }) => keyslots),
  );
  const hasCompleted = change.settled.some(({ intent, outcome }) => {
    return intent.operation === "recovery-remove" && outcome === "completed";
  });
  const header = await readHeader(system, change);
  if (header.version !== 2) throw new TypeError("the volume was LUKS2");
  const isDone = hasCompleted && listRecovery(header).length === 0;
  const { tokens } = early ?? (isDone ? { tokens: [] } : choose(input, header, slot));
  if (early === null && tokens.length > 0) await requireConsent(input, header, tokens);
  if (tokens.length > 0) {
    await unbindVolume(system, change, planRecoveryRemovals(header, device, tokens), "recovery-remove");
  }
  for (const token of tokens) terminal.line(`Removed from ${device}: ${nameOf(token)}.`);
  terminal.result({ ok: true, device, uuid: change.uuid, removed: tokens.map(tokenJson), ...settledJson(change) });
  return 0;
}

/** @throws NightlatchError luks/no-recovery, usage/wrong, luks/not-proved, luks/unsupported */
function choose(
  { operands, options }: Input,
  header: Luks2Volume,
  slot: number | undefined,
): { readonly header: Luks2Volume; readonly tokens: readonly HeldToken[] } {
  const [device = ""] = operands;
  const all = requireRecovery(header, device);
  const tokens = slot === undefined ? all : all.filter(({ keyslots }) => keyslots.includes(slot));
  const has = `It has: ${all.map(nameOf).join("; ")}.`;
  if (tokens.length === 0) {
    throw new NightlatchError("luks/no-recovery", `${device} has no recovery key in keyslot ${slot}`, {
      meaning: "Nothing was changed.",
      remedy: has,
    });
  }
  if (tokens.length > 1 && !options.all) {
    throw new NightlatchError("usage/wrong", `recovery remove: ${device} has ${tokens.length} recovery keys`, {
      meaning: "Nothing was changed.",
      remedy: `Say which with --slot, or pass --all. ${has}`,
    });
  }
  planRecoveryRemovals(header, device, tokens); // what cannot be removed shows before anybody is asked
  return { header, tokens };
}

/** @throws NightlatchError luks/last-way, usage/no-terminal, usage/cancelled */
async function requireConsent(
  { operands, options, system, terminal }: Input,
  header: Luks2Volume,
  tokens: readonly HeldToken[],
) {
  const [device = ""] = operands;
  const leaving = new Set(tokens.flatMap(({ keyslots }) => keyslots));
  const remembered = await rememberedSlotOf(system, stateFolderOf(options.state), device, header);
  const isLastTyped = !typedSlots(header, remembered).some((slot) => !leaving.has(slot));
  if (isLastTyped && listBindings(header).length === 0) throw lastWay(device);
  if (options.yes) return;
  if (isLastTyped) {
    terminal.hint(`After that nothing but its bindings opens ${device}: no passphrase is left.`);
    terminal.hint("If their servers are lost, or refuse, so is what is on the volume.");
  }
  const what = tokens.map(nameOf).join("; ");
  if (!terminal.isInteractive && isLastTyped) throw nobodyToAsk(device);
  if (await terminal.confirm(`Remove from ${device}: ${what}?`)) return;
  throw new NightlatchError("usage/cancelled", "cancelled", { meaning: "Nothing was changed." });
}

function lastWay(device: string): NightlatchError {
  return new NightlatchError("luks/last-way", `${device}: no passphrase and no binding would be left`, {
    meaning: "Nothing was changed.",
    remedy: `Add a passphrase first, or another recovery key: cryptsetup luksAddKey ${shellWord(device)}`,
  });
}

function nobodyToAsk(device: string): NightlatchError {
  return new NightlatchError(
    "usage/no-terminal",
    `${device}: nothing but bindings would be left, and nobody can be asked`,
    {
      meaning: "Nothing was changed.",
      remedy: "Pass --yes if that is what you want.",
    },
  );
}

const nameOf = ({ id, keyslots }: HeldToken): string => `recovery key, keyslot ${keyslots.join(", ")}, token ${id}`;

const tokenJson = ({ id, keyslots }: HeldToken) => ({ token: id, keyslots });
