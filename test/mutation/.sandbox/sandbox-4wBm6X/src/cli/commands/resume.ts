// @ts-nocheck
import { type Opens, tryBinding } from "../../bindings/attempt.ts";
import { type Binding, formatBinding, listBindings } from "../../bindings/binding.ts";
import { NightlatchError } from "../../core/errors.ts";
import { shellWord } from "../../core/text.ts";
import { isSuspended, type LuksMapping, listLuksMappings } from "../../host/luks-mappings.ts";
import { whyNotBound } from "../../luks/bound/bound.ts";
import { resumeMapping } from "../../luks/cryptsetup/suspend.ts";
import { readVolumeHeader } from "../../luks/header/header.ts";
import { type AskPin, personNeeded } from "../../pins/ask-pin.ts";
import type { System } from "../../system/port.ts";
import { type CommandInput, defineCommand, type ExitStatus, type Options } from "../command.ts";
import { STATE_OPTION, stateFolderOf } from "../volume/input.ts";

const OPTIONS = { state: STATE_OPTION } as const satisfies Options;

type Input = CommandInput<typeof OPTIONS>;

export const command = defineCommand({
  name: "resume",
  summary: "have a volume go on that the tether has suspended, by its bindings",
  operands: "NAME",
  minOperands: 1,
  maxOperands: 1,
  options: OPTIONS,
  details: `NAME is that of the mapping under /dev/mapper. A server that has locked this machine releases nothing: unlock it there first, or
type the passphrase: cryptsetup luksResume NAME.`,
  run,
});

async function run({ operands: [name = ""], options, system, terminal }: Input): Promise<ExitStatus> {
  const { device } = await findSuspended(system, name);
  const header = await readVolumeHeader(system, device);
  const state = { stateFolder: stateFolderOf(options.state), name, trust: "first-use" } as const;
  const refusal = await whyNotBound(system, device, header, state);
  if (refusal !== null) throw refusal;
  const won = await firstThatOpens(system, { name, device }, listBindings(header), terminal.signal);
  using secret = won.secret;
  await resumeMapping(system, name, won.keyslot, secret);
  terminal.line(`/dev/mapper/${name} goes on: ${formatBinding(won.binding)}`);
  terminal.result({ ok: true, name, device, keyslot: won.keyslot });
  return 0;
}

async function findSuspended(
  system: Pick<System, "listDirectory" | "readFileIfPresent">,
  name: string,
): Promise<LuksMapping & { readonly device: string }> {
  const mapping = (await listLuksMappings(system)).find((one) => one.name === name);
  if (mapping === undefined || !(await isSuspended(system, mapping))) {
    throw new NightlatchError("tether/not-suspended", `/dev/mapper/${name} is no LUKS volume that was suspended`, {
      meaning: "Nothing was changed.",
    });
  }
  const { device } = mapping;
  if (device !== null) return { ...mapping, device };
  throw new NightlatchError("luks/no-device", `/dev/mapper/${name} lies on no one device`, byPassphrase(name));
}

/** One after the other: what opens is in the memory of this process, and no more than that. */
async function firstThatOpens(
  system: System,
  { name, device }: { readonly name: string; readonly device: string },
  bindings: readonly Binding[],
  signal: AbortSignal,
): Promise<Opens> {
  const askPin: AskPin = async () => {
    throw personNeeded(device);
  };
  const errors: NightlatchError[] = [];
  for (const binding of bindings) {
    const attempt = await tryBinding({ ...system, askPin }, device, binding, signal);
    if (attempt.secret !== null) return attempt;
    errors.push(attempt.error);
  }
  const [first] = errors;
  if (first === undefined) throw new NightlatchError("luks/not-bound", `${device} has no binding`, byPassphrase(name));
  const said = errors.map(({ message }) => message).join("; ");
  throw new NightlatchError(first.code, `${name}: no binding opens it: ${said}`, byPassphrase(name));
}

const byPassphrase = (name: string) => ({
  meaning: "It stays suspended.",
  remedy: `Type its passphrase: cryptsetup luksResume ${shellWord(name)}`,
});
