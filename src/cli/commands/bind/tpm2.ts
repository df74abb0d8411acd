import type { Binding } from "../../../bindings/binding.ts";
import { readClevis, SERVER_TIMEOUT_MS } from "../../../bindings/recovery.ts";
import { NightlatchError } from "../../../core/errors.ts";
import { parseClevisPin } from "../../../formats/clevis/clevis.ts";
import { parseTpm2Pin } from "../../../formats/clevis/tpm2.ts";
import type { Json } from "../../../formats/json/json.ts";
import { isTextLike } from "../../../formats/json/narrow.ts";
import { readAttempts } from "../../../formats/tpm2/attempts.ts";
import { hashNamed, SHA256 } from "../../../formats/tpm2/hash.ts";
import type { PrimaryKind } from "../../../formats/tpm2/public-area.ts";
import { changesOf, holdsOf, parseRegisterList, type Registers } from "../../../formats/tpm2/registers.ts";
import { Chip } from "../../../pins/tpm2/chip.ts";
import { sealToChip } from "../../../pins/tpm2/seal.ts";
import { describeTarget } from "../../../pins/tpm2/target.ts";
import type { BindInput } from "./options.ts";
import { type BindPin, type BindPlan, wordsByMembers } from "./plan.ts";
import { ChipPin } from "./tpm2-pin.ts";

/** tpm2-tools, by which stock clevis opens the binding, take no more. */
const REGISTER_COUNT = 8;

/** A word that says a thing twice is told by the plan. */
const WORD = /^(?:(pcr|bank|key)=(.*)|(pin))$/s;
const WORD_COUNT = 8;

const isPlain = (value: Json): value is string => isTextLike(value, /^[a-z0-9,_]{1,64}$/i);

const MEMBERS: BindPin["members"] = {
  hash: (value) => (value === SHA256.name ? [] : null),
  key: (value) => (isPlain(value) ? [`key=${value}`] : null),
  pcr_bank: (value) => (isPlain(value) ? [`bank=${value}`] : null),
  pcr_ids: (value) => (isPlain(value) ? [`pcr=${value}`] : null),
  pin: (value) => (typeof value === "boolean" ? (value ? ["pin"] : []) : null),
};

/** The pin tpm2, as `bind` takes it. */
export const tpm2Entry: BindPin = {
  name: "tpm2",
  usage: "[pcr=LIST] [bank=NAME] [key=KIND] [pin]",
  needs: 0,
  takes: (word, before) => before.length < WORD_COUNT && WORD.test(word),
  members: MEMBERS,
  plan: tpm2Plan,
  wordsOf: (binding) => [
    ...wordsByMembers({ members: MEMBERS }, binding),
    ...(saltOf(binding) === null ? [] : ["pin"]),
  ],
};

/**
 * Binds to the machine's TPM, and to the state that its registers tell now. The chip is asked
 * before a person types a passphrase.
 * @param words what follows `tpm2`: `pcr=LIST`, `bank=NAME`, `key=KIND`, `pin`
 */
async function tpm2Plan(input: BindInput, words: readonly string[], former?: Binding): Promise<BindPlan> {
  const { options, system, terminal } = input;
  const { kind, registers, isNamed, withPin } = parseWords(words);
  const replacesAll = options.replace === true && former === undefined;
  if (replacesAll && !isNamed) {
    throw new NightlatchError("usage/wrong", "bind: with --replace say which registers the new binding is sealed to", {
      meaning: "Nothing was changed.",
      remedy: "pcr=7, for one; pcr=none for a binding that opens whatever is started on the machine.",
    });
  }
  const limits = { timeoutMs: SERVER_TIMEOUT_MS, signal: terminal.signal };
  const detail = describeTarget(registers, withPin);
  const target = `the machine's TPM, ${detail}`;
  const pin = withPin ? new ChipPin(input, registers, former === undefined ? null : saltOf(former)) : null;
  return {
    target,
    asked: "The machine's TPM",
    // One that is sealed to other registers stands beside it, unless it is to be replaced. A PIN is
    // never taken away by a command that does not say so: that one is to be unbound.
    isSameTarget: (binding) =>
      binding.kind === "tpm2" && (binding.target === detail || (replacesAll && (withPin || saltOf(binding) === null))),
    prepare: async () => {
      await using chip = await Chip.open(system, limits);
      await chip.primary(kind, SHA256);
      if (registers !== null) await chip.registers(registers);
      const attempts = pin === null ? null : await chip.plain(readAttempts());
      for (const line of explain(registers, withPin)) terminal.hint(line);
      if (pin === null || attempts === null) {
        return { target, seal: (passphrase) => sealToChip(system, { kind, registers }, passphrase, limits) };
      }
      const own = await pin.forVolume(attempts);
      return { target, seal: (passphrase) => sealToChip(system, { kind, registers, pin: own }, passphrase, limits) };
    },
    finish: async () => {},
    end: () => pin?.wipe(),
  };
}

/** Of the PIN that a binding wants; null where it wants none, or is another's. */
function saltOf({ kind, fault, token }: Binding): Buffer | null {
  return kind === "tpm2" && fault === null ? parseTpm2Pin(parseClevisPin(readClevis(token))).salt : null;
}

interface Words {
  readonly kind: PrimaryKind;
  readonly registers: Registers | null;
  /** Whether pcr= was said. */
  readonly isNamed: boolean;
  readonly withPin: boolean;
}

/** @param words each of which WORD matches */
function parseWords(words: readonly string[]): Words {
  const said = new Map<string, string>();
  for (const word of words) {
    const [, setting, value = "", plain] = WORD.exec(word) ?? [];
    const name = setting ?? plain ?? "";
    if (said.has(name)) throw wrong(`${word.slice(0, word.length - value.length)} stands twice`);
    said.set(name, value);
  }
  const withPin = said.has("pin");
  const kind = said.get("key") ?? "ecc";
  if (kind !== "ecc" && kind !== "rsa") throw wrong(`key=${kind.slice(0, 40)} is neither key=ecc nor key=rsa`);
  const bank = hashNamed(said.get("bank") ?? SHA256.name);
  if (bank === null) throw wrong("there is no such bank of registers");
  const list = said.get("pcr") ?? "none";
  if (list === "none") {
    if (said.has("bank")) throw wrong("bank= goes with pcr=, whose registers it is of");
    return { kind, registers: null, isNamed: said.has("pcr"), withPin };
  }
  const numbers = parseRegisterList(list);
  if (numbers === null) throw wrong(`pcr=${list.slice(0, 40)} is no list of registers 0 to 23, such as pcr=7,11`);
  if (numbers.length > REGISTER_COUNT) {
    throw wrong(`clevis, which opens the binding in an initramfs, takes no more than ${REGISTER_COUNT} registers`);
  }
  return { kind, registers: { bank, numbers }, isNamed: true, withPin };
}

function wrong(what: string): NightlatchError {
  return new NightlatchError("usage/wrong", `bind: ${what}`, { remedy: "See: nightlatch bind --help" });
}

/** Says what the binding will bear, and what not. */
function explain(registers: Registers | null, withPin: boolean): string[] {
  const alone = withPin
    ? "Without pcr= the TPM gives the key for the PIN alone, whatever system is started on this machine."
    : "Without pcr= the TPM gives the key to whatever system is started on this machine, a thief's too.";
  if (registers === null) return [alone];
  return registers.numbers.map((number) => {
    const changes = changesOf(number);
    const early = changes.includes("running system") ? " Earlier in a boot it is another one." : "";
    return `Register ${number} holds ${holdsOf(number)}. It changes with the ${changes.join(" or the ")}.${early}`;
  });
}
