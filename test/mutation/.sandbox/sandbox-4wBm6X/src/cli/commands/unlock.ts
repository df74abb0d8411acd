// @ts-nocheck
import { type Attempt, type Opens, tryBinding } from "../../bindings/attempt.ts";
import { type Binding, bindingJson, formatBinding, listBindings } from "../../bindings/binding.ts";
import { NightlatchError } from "../../core/errors.ts";
import { shellWord } from "../../core/text.ts";
import { whyNotBound } from "../../luks/bound/bound.ts";
import { openVolume } from "../../luks/cryptsetup/keyslots.ts";
import { isDetached } from "../../luks/header/detached.ts";
import { readVolumeHeader } from "../../luks/header/header.ts";
import { refuseUnknownRequirements } from "../../luks/header/requirements.ts";
import { type AskPin, personNeeded } from "../../pins/ask-pin.ts";
import { type CommandInput, defineCommand, type ExitStatus, type Options } from "../command.ts";
import { askingForPins } from "../volume/card-pin.ts";
import { STATE_OPTION, stateFolderOf } from "../volume/input.ts";

const OPTIONS = {
  test: { help: "open nothing; say of every binding whether it would" },
  header: { value: "FILE", help: "the header lies there, and DEV holds the data alone" },
  state: STATE_OPTION,
} as const satisfies Options;

type Input = CommandInput<typeof OPTIONS>;

export const command = defineCommand({
  name: "unlock",
  summary: "open a volume through its bindings",
  operands: "DEV [NAME]",
  minOperands: 1,
  maxOperands: 2,
  options: OPTIONS,
  details: `A volume that stands in the place of the one that was bound is refused, and none of its bindings is asked: see nightlatch accept.
All bindings are asked side by side, and the first that opens its keyslot is used. The PIN of a card or of the TPM is asked for where none does. NAME is that of the mapping under /dev/mapper,
luks-UUID by default. With --test the status is 0 where at least one binding opens the volume.`,
  run,
});

async function run(input: Input): Promise<ExitStatus> {
  const { operands, options, system, terminal } = input;
  const [data = "", name] = operands;
  const device = input.options.header ?? data; // what holds the header
  if (options.test && name !== undefined) {
    throw new NightlatchError("usage/wrong", "unlock: --test opens nothing, so it takes no name");
  }
  const header = await readVolumeHeader(system, device);
  refuseUnknownRequirements(header, device);
  if (!options.test && device === data && (await isDetached(system, device, header))) throw headerAlone(device);
  const stateFolder = stateFolderOf(input.options.state);
  const refusal = await whyNotBound(system, device, header, { stateFolder, name: name ?? null, trust: "first-use" });
  if (refusal !== null) throw refusal;
  const bindings = listBindings(header);
  if (bindings.length === 0) throw notBound(device);
  const stop = new AbortController();
  const signal = AbortSignal.any([terminal.signal, stop.signal]);
  const trial = tryAll(input, device, bindings, signal);
  if (options.test) return report(input, device, await trial.withPerson());
  const won = (await firstThatOpens(trial.alone)) ?? opensOf(await trial.withPerson());
  stop.abort();
  if (won === null) throw noneOpens(device, await trial.withPerson());
  using secret = won.secret;
  const mapping = name ?? `luks-${header.uuid}`;
  await openVolume(
    system,
    device === data ? { device } : { device: data, header: device },
    mapping,
    won.keyslot,
    secret,
  );
  terminal.line(`Opened ${data} as /dev/mapper/${mapping}: ${formatBinding(won.binding)}`);
  terminal.result({ ok: true, device: data, uuid: header.uuid, name: mapping, binding: bindingJson(won.binding) });
  return 0;
}

interface Trial {
  /** All bindings side by side, with nobody asked for anything. */
  readonly alone: readonly Promise<Attempt>[];
  /** The same, but that those which want a PIN were tried again with a person. */
  withPerson(): Promise<readonly Attempt[]>;
}

/**
 * A person is asked for a PIN only where no binding opens the volume without one. One that opens by
 * a PIN alone asks no server and no chip before.
 */
function tryAll(
  { options, system, terminal }: Input,
  device: string,
  bindings: readonly Binding[],
  signal: AbortSignal,
): Trial {
  const wanting = new Set<Binding>();
  const alone = bindings.map(async (binding): Promise<Attempt> => {
    if (binding.needsPerson) {
      wanting.add(binding);
      return { binding, secret: null, error: personNeeded(formatBinding(binding)) };
    }
    const askPin: AskPin = async () => {
      wanting.add(binding);
      throw new NightlatchError("usage/no-terminal", "nobody is asked yet");
    };
    return tryBinding({ ...system, askPin }, device, binding, signal);
  });
  let asked: Promise<readonly Attempt[]> | null = null;
  const ask = async () => {
    const attempts: Attempt[] = [];
    for (const attempt of await Promise.all(alone)) {
      const isWanting = attempt.secret === null && wanting.has(attempt.binding);
      const again = () => tryBinding(askingForPins(system, terminal), device, attempt.binding, signal);
      const isNeeded = options.test || !attempts.some(({ secret }) => secret !== null);
      attempts.push(isWanting && isNeeded ? await again() : attempt);
    }
    return attempts;
  };
  return {
    alone,
    withPerson: () => {
      asked ??= ask();
      return asked;
    },
  };
}

function opensOf(attempts: readonly Attempt[]): Opens | null {
  return attempts.find((attempt) => attempt.secret !== null) ?? null;
}

/** Those that come later are wiped. */
function firstThatOpens(attempts: readonly Promise<Attempt>[]): Promise<Opens | null> {
  return new Promise((resolve, reject) => {
    let left = attempts.length;
    let won = false;
    for (const attempt of attempts) {
      attempt.then((outcome) => {
        left--;
        if (outcome.secret !== null) {
          if (won) outcome.secret.wipe();
          else resolve(outcome);
          won = true;
        } else if (left === 0 && !won) resolve(null);
      }, reject);
    }
  });
}

function report({ terminal }: Input, device: string, attempts: readonly Attempt[]): ExitStatus {
  const bindings = attempts.map((attempt) => {
    attempt.secret?.wipe();
    terminal.line(`${attempt.secret === null ? "does not open" : "opens"}  ${formatBinding(attempt.binding)}`);
    if (attempt.secret !== null) return { ...bindingJson(attempt.binding), opens: true };
    const { code, message, remedy } = attempt.error;
    terminal.line(`  ${message} [${code}]`);
    if (remedy !== undefined) terminal.line(`  ${remedy}`);
    return { ...bindingJson(attempt.binding), opens: false, error: { code, message, remedy } };
  });
  const ok = bindings.some((binding) => binding.opens);
  terminal.result({ ok, device, bindings });
  return ok ? 0 : 1;
}

function headerAlone(device: string): NightlatchError {
  return new NightlatchError("usage/wrong", `${device} is a LUKS header alone: its data lies on another device`, {
    meaning: "Nothing was asked, and nothing was opened.",
    remedy: `Name the device of the data, and where the header lies: nightlatch unlock DEV --header ${shellWord(device)}`,
  });
}

function notBound(device: string): NightlatchError {
  return new NightlatchError("luks/not-bound", `${device} has no binding`, {
    meaning: "Its passphrase opens it.",
    remedy: `Bind it: nightlatch bind ${device} latch INVITE`,
  });
}

/** With one binding its own error says most. */
function noneOpens(device: string, attempts: readonly Attempt[]): NightlatchError {
  const errors = attempts.flatMap((attempt) => (attempt.secret === null ? [attempt] : []));
  const [first] = errors;
  if (first === undefined) throw new TypeError("something failed");
  const said = errors.map(({ binding, error }) => `${binding.kind}: ${error.message}`).join("; ");
  return new NightlatchError(first.error.code, `${device}: no binding opens it: ${said}`, {
    meaning: "The volume stays closed; its passphrase opens it as before.",
    ...(first.error.remedy === undefined ? {} : { remedy: first.error.remedy }),
  });
}
