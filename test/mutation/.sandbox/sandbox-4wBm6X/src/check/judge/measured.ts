// @ts-nocheck
import { shellWord } from "../../core/text.ts";
import { holdsOf } from "../../formats/tpm2/registers.ts";
import type { BindingFacts, MeasuredFacts, VolumeFacts } from "./facts.ts";
import { type Finding, findingsOf } from "./finding.ts";

/** Comes before the step that binds anew: what only a person can know. */
export const WHY_MEASURED =
  "find out what has changed, for it may be somebody's hand; after an update or a change of your own, bind it anew, once the machine runs on it:";

/**
 * Judges a binding that opens its volume now, by the machine's TPM or with a share of it: whether
 * it will at the next boot too. It is an error where nothing else opens the volume by itself,
 * unless it takes a person who types its PIN, and is of no use to a boot.
 */
export function judgeMeasured(volume: VolumeFacts, binding: BindingFacts): Finding[] {
  const { error, warning } = findingsOf(volume.entry.volume);
  const { bindings, command, early } = volume;
  const { needsPerson } = binding;
  const isShare = binding.kind !== "tpm2";
  const another = bindings.some((other) => other !== binding && other.opens === true && isSteady(volume, other));
  const remedy = [WHEN_DONE, rebindStep(volume.device, binding)].join("\n");
  return binding.measured.flatMap(({ bank, numbers, isNeeded, isNow, moving, pending }) => {
    const tell = another || command !== null || !isNeeded || needsPerson ? warning : error;
    const what = `${binding.text}${isShare ? `: a share is sealed to ${bank}:${numbers}, and` : ""}`;
    if (isNow === false) {
      const text = `${what} gives nothing: the registers hold another state than it was sealed to`;
      return [warning("check/tpm-state", text, [WHY_MEASURED, rebindStep(volume.device, binding)].join("\n"))];
    }
    const found: Finding[] = [];
    if (pending.length > 0) {
      const text = `${what} will not open at the next boot, which loads another kernel or initramfs than this one did: ${describe(pending)}`;
      found.push(tell("check/tpm-update", text, remedy));
    }
    if (early !== null && !needsPerson && moving.length > 0) {
      const text = `${what} is sealed to the state of the running system, which the initramfs never has: ${describe(moving)}`;
      const without = numbers.filter((number) => !moving.includes(number));
      const step = rebindStep(volume.device, { ...binding, measured: [{ ...NONE, bank, numbers: without }] });
      found.push(tell("check/tpm-moving", text, step));
    }
    return found;
  });
}

const NONE: MeasuredFacts = {
  bank: "sha256",
  numbers: [],
  isNeeded: true,
  isNow: null,
  moving: [],
  pending: [],
  unsteady: [],
};

const WHEN_DONE =
  "reboot when somebody can type the passphrase, not by kexec, which measures nothing; once the machine runs on what is new, bind it anew:";

function isSteady({ early }: VolumeFacts, { measured }: BindingFacts): boolean {
  return measured.every(({ pending, moving }) => pending.length === 0 && (early === null || moving.length === 0));
}

function describe(numbers: readonly number[]): string {
  return numbers.map((number) => `register ${number} holds ${holdsOf(number)}`).join("; ");
}

/**
 * The command that seals a binding of this kind to what the registers hold now. A share is part of
 * a whole that is bound as a whole.
 */
export function rebindStep(device: string, { kind, keyslots, measured, needsPerson }: BindingFacts): string {
  if (kind !== "tpm2") return "bind the volume anew with all its shares";
  const [sealed] = measured;
  const list = sealed === undefined || sealed.numbers.length === 0 ? "none" : sealed.numbers.join(",");
  const bank = list === "none" || sealed === undefined || sealed.bank === "sha256" ? "" : ` bank=${sealed.bank}`;
  const slot = keyslots[0] === undefined ? "" : ` --slot ${keyslots[0]}`;
  const pin = needsPerson ? " pin" : "";
  return `nightlatch bind ${shellWord(device)} tpm2 pcr=${list}${bank}${pin} --replace${slot}`;
}

/**
 * Says why a binding that opens now need not open after a boot through the firmware; null where
 * nothing but the firmware and its keys could be the cause.
 */
export function whyUnsteady({ text, measured }: Pick<BindingFacts, "text" | "measured">): string | null {
  const numbers = [...new Set(measured.flatMap(({ unsteady }) => unsteady))];
  if (numbers.length === 0) return null;
  return `${text}: what its registers will hold at the next boot cannot be told now: ${describe(numbers)}`;
}
