// @ts-nocheck
import { tryBinding } from "../../../bindings/attempt.ts";
import { listBindings } from "../../../bindings/binding.ts";
import { NightlatchError } from "../../../core/errors.ts";
import { whyNotBound } from "../../../luks/bound/bound.ts";
import type { HeldVolume } from "../../../luks/change/begin.ts";
import { type Change, readHeader } from "../../../luks/change/change.ts";
import { typedSlots } from "../../../luks/header/typed.ts";
import { rememberedSlotOf } from "../../../luks/remembered-key.ts";
import type { CommandInput, Option } from "../../command.ts";
import { askingForPins } from "../../volume/card-pin.ts";
import { beginVolumeChange } from "../../volume/change.ts";
import type { KEY_FILE_OPTION, STATE_OPTION } from "../../volume/input.ts";

/** `--by-binding`, of what may change a volume without its passphrase. */
export const BY_BINDING_OPTION = {
  help: "ask no passphrase: a binding opens the volume; so it is by itself where nothing else does",
} as const satisfies Option;

/** What a command has that may go by a binding. */
type Input = Omit<
  CommandInput<{
    readonly "by-binding": typeof BY_BINDING_OPTION;
    readonly "key-file": typeof KEY_FILE_OPTION;
    readonly state: typeof STATE_OPTION;
  }>,
  "operands"
>;

/**
 * Begins a change by the authority of a passphrase, or of a binding where the user said so, or
 * where no keyslot but those in `leaving` has a passphrase that could be typed. The caller disposes
 * it.
 * @throws NightlatchError as beginChange; what stands against asking a binding, and why none opens
 */
export async function beginByAuthority(
  input: Input,
  held: HeldVolume,
  leaving: readonly number[] = [],
): Promise<Change> {
  const header = await readHeader(input.system, held);
  const remembered = await rememberedSlotOf(input.system, held.stateFolder, held.volume.device, header);
  const isTyped = typedSlots(header, remembered).some((slot) => !leaving.includes(slot));
  const hasBindings = listBindings(header).length > 0;
  const goesByBinding = input.options["by-binding"] || (!isTyped && hasBindings);
  if (!goesByBinding || input.options["key-file"] !== undefined) return await beginVolumeChange(input, held);
  const passphrase = async (tries: number) => (tries > 0 ? null : await askBindings(input, held));
  return await beginVolumeChange(input, held, { passphrase });
}

async function askBindings({ system, terminal }: Input, { volume, stateFolder }: HeldVolume) {
  const { device } = volume;
  const header = await readHeader(system, { volume });
  const refusal = await whyNotBound(system, device, header, { stateFolder, name: null, trust: "first-use" });
  if (refusal !== null) throw refusal;
  let last: NightlatchError | null = null;
  // A person is there, who is asked last.
  const bindings = listBindings(header).toSorted((a, b) => Number(a.needsPerson) - Number(b.needsPerson));
  const attended = askingForPins(system, terminal);
  for (const binding of bindings) {
    const { secret, ...attempt } = await tryBinding(attended, device, binding, terminal.signal);
    if (secret !== null) return secret;
    last = "error" in attempt ? attempt.error : last;
  }
  throw new NightlatchError(
    last?.code ?? "luks/not-bound",
    last === null ? `${device} has no binding` : `${device}: no binding opens it now: ${last.message}`,
    {
      meaning: "Nothing was changed.",
      remedy: last?.remedy ?? "Give a passphrase of the volume.",
    },
  );
}
