import type { Binding } from "../../../bindings/binding.ts";
import { SERVER_TIMEOUT_MS } from "../../../bindings/recovery.ts";
import { NightlatchError } from "../../../core/errors.ts";
import type { Json } from "../../../formats/json/json.ts";
import { isTextLike } from "../../../formats/json/narrow.ts";
import { hashNamed, SHA256 } from "../../../formats/tpm2/hash.ts";
import type { PrimaryKind } from "../../../formats/tpm2/public-area.ts";
import { changesOf, holdsOf, parseRegisterList, type Registers } from "../../../formats/tpm2/registers.ts";
import { Chip } from "../../../pins/tpm2/chip.ts";
import { describeRegisters } from "../../../pins/tpm2/pin.ts";
import { sealToChip } from "../../../pins/tpm2/seal.ts";
import type { BindInput } from "./options.ts";
import type { BindPin, BindPlan } from "./plan.ts";

/** tpm2-tools, by which stock clevis opens the binding, take no more. */
const REGISTER_COUNT = 8;

/** A word that says a thing twice, or the PIN that is not there yet, is told by the plan. */
const WORD = /^(?:pcr|bank|key)=|^pin$/;
const WORD_COUNT = 8;

const isPlain = (value: Json): value is string => isTextLike(value, /^[a-z0-9,_]{1,64}$/i);

/** The pin tpm2, as `bind` takes it. */
export const tpm2Entry: BindPin = {
  name: "tpm2",
  usage: "[pcr=LIST] [bank=NAME] [key=KIND]",
  needs: 0,
  takes: (word, before) => before.length < WORD_COUNT && WORD.test(word),
  members: {
    hash: (value) => (value === SHA256.name ? [] : null),
    key: (value) => (isPlain(value) ? [`key=${value}`] : null),
    pcr_bank: (value) => (isPlain(value) ? [`bank=${value}`] : null),
    pcr_ids: (value) => (isPlain(value) ? [`pcr=${value}`] : null),
  },
  plan: tpm2Plan,
};

/**
 * Binds to the machine's TPM, and to the state that its registers tell now. The chip is asked
 * before a person types a passphrase.
 * @param words what follows `tpm2`: `pcr=LIST`, `bank=NAME`, `key=KIND`
 */
async function tpm2Plan(
  { options, system, terminal }: BindInput,
  words: readonly string[],
  former?: Binding,
): Promise<BindPlan> {
  const { kind, registers, isNamed } = parseWords(words);
  if (options.replace && !isNamed && former === undefined) {
    throw new NightlatchError("usage/wrong", "bind: with --replace say which registers the new binding is sealed to", {
      meaning: "Nothing was changed.",
      remedy: "pcr=7, for one; pcr=none for a binding that opens whatever is started on the machine.",
    });
  }
  const limits = { timeoutMs: SERVER_TIMEOUT_MS, signal: terminal.signal };
  const detail = describeRegisters(registers);
  const target = `the machine's TPM, ${detail}`;
  return {
    target,
    asked: "The machine's TPM",
    // One that is sealed to other registers stands beside it, unless it is to be replaced.
    isSameTarget: (binding) => binding.kind === "tpm2" && (options.replace === true || binding.detail === detail),
    prepare: async () => {
      await using chip = await Chip.open(system, limits);
      await chip.primary(kind, SHA256);
      if (registers !== null) await chip.registers(registers);
      for (const line of explain(registers)) terminal.hint(line);
      return { target, seal: (passphrase) => sealToChip(system, { kind, registers }, passphrase, limits) };
    },
    finish: async () => {},
  };
}

interface Words {
  readonly kind: PrimaryKind;
  readonly registers: Registers | null;
  /** Whether pcr= was said. */
  readonly isNamed: boolean;
}

function parseWords(words: readonly string[]): Words {
  if (words.includes("pin")) throw withoutPin();
  const said = new Map<string, string>();
  for (const word of words) {
    const [, name = "", value = ""] = /^(pcr|bank|key)=(.*)$/s.exec(word) ?? [];
    if (name === "") throw wrong(`${JSON.stringify(word.slice(0, 40))} is not known after tpm2`);
    if (said.has(name)) throw wrong(`${name}= stands twice`);
    said.set(name, value);
  }
  const kind = said.get("key") ?? "ecc";
  if (kind !== "ecc" && kind !== "rsa") throw wrong(`key=${kind.slice(0, 40)} is neither key=ecc nor key=rsa`);
  const bank = hashNamed(said.get("bank") ?? SHA256.name);
  if (bank === null) throw wrong("there is no such bank of registers");
  const list = said.get("pcr") ?? "none";
  if (list === "none") {
    if (said.has("bank")) throw wrong("bank= goes with pcr=, whose registers it is of");
    return { kind, registers: null, isNamed: said.has("pcr") };
  }
  const numbers = parseRegisterList(list);
  if (numbers === null) throw wrong(`pcr=${list.slice(0, 40)} is no list of registers 0 to 23, such as pcr=7,11`);
  if (numbers.length > REGISTER_COUNT) {
    throw wrong(`clevis, which opens the binding in an initramfs, takes no more than ${REGISTER_COUNT} registers`);
  }
  return { kind, registers: { bank, numbers }, isNamed: true };
}

function wrong(what: string): NightlatchError {
  return new NightlatchError("usage/wrong", `bind: ${what}`, { remedy: "See: nightlatch bind --help" });
}

/** docs/decisions/095-no-pin-for-the-tpm-yet.md */
function withoutPin(): NightlatchError {
  return new NightlatchError("usage/wrong", "bind: a PIN for the TPM is not there yet", {
    meaning: "Nothing was changed.",
    remedy: "Bind without it; a TPM without a PIN opens the volume for whoever starts this machine in that state.",
  });
}

/** Says what the binding will bear, and what not. */
function explain(registers: Registers | null): string[] {
  if (registers === null) {
    return ["Without pcr= the TPM gives the key to whatever system is started on this machine, a thief's too."];
  }
  return registers.numbers.map((number) => {
    const changes = changesOf(number);
    const early = changes.includes("running system")
      ? " It changes while the system runs: earlier in a boot it is another one."
      : "";
    return `Register ${number} holds ${holdsOf(number)}; another ${changes.join(" or ")} makes it another one.${early}`;
  });
}
