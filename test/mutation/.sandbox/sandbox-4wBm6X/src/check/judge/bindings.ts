// @ts-nocheck
import { shellWord } from "../../core/text.ts";
import { wantsPerson } from "../../pins/ask-pin.ts";
import type { BindingFacts, CheckFacts, VolumeFacts } from "./facts.ts";
import { type Finding, findingsOf } from "./finding.ts";
import { judgeMeasured, rebindStep, WHY_MEASURED } from "./measured.ts";

/** Judges the bindings of a volume. One that does not open it is an error where no other does. */
export function judgeBindings(facts: CheckFacts, volume: VolumeFacts): Finding[] {
  const words = { state: facts.files.state, latch: latchWords(facts) };
  const { bindings, command, device, entry } = volume;
  const { error, warning } = findingsOf(entry.volume);
  const another = bindings.some(({ opens }) => opens === true);
  const tell = another || command !== null ? warning : error;
  return bindings.flatMap((binding) => {
    if (binding.opens === true) {
      const rotated = binding.rotated.map((url) => warning("check/rotated", ...rotatedAt(url, device)));
      return [...rotated, ...judgeMeasured(volume, binding)];
    }
    if (binding.opens === null) {
      const text = `${binding.text}: cannot be tried here`;
      const byPerson = wantsPerson(binding.error);
      const step = byPerson
        ? `nightlatch unlock ${shellWord(device)} --test`
        : `see: clevis luks list -d ${shellWord(device)}`;
      const told = byPerson ? `${text} without a person who types its PIN` : text;
      return [warning("check/binding-untried", told, step), ...judgeMeasured(volume, binding)];
    }
    const reason =
      binding.error === null ? "it refers to no keyslot" : `${binding.error.message} [${binding.error.code}]`;
    return [
      tell(
        "check/binding",
        `${binding.text} does not open it now: ${reason}`,
        remedyOf(words, device, binding, another),
      ),
    ];
  });
}

/** A tang that is asked by its old keys opens the volume until somebody tidies up there. */
const rotatedAt = (url: string, device: string): readonly [text: string, remedy: string] => [
  `${url} no longer advertises the keys that the volume is bound to: once they are removed there, it does not open any more`,
  `nightlatch rotate ${shellWord(device)}`,
];

/**
 * Tells how bind is asked for a latch. A machine that a server knows needs no invite, and an invite
 * for another name is refused.
 */
export const latchWords = ({ isEnrolled }: Pick<CheckFacts, "isEnrolled">): string =>
  isEnrolled ? "latch" : "latch INVITE";

/** By the reason: a server that is away, or says no for now, is none to make another binding. */
function remedyOf(
  { state, latch }: { readonly state: string; readonly latch: string },
  device: string,
  binding: BindingFacts,
  another: boolean,
): string {
  const { error, token } = binding;
  switch (error?.code) {
    case "net/unreachable":
    case "net/timeout":
      return [...(error.remedy === undefined ? [] : [error.remedy]), ...lookAt(binding)].join("\n");
    case "pin/locked":
      return "on the server, where the machine is trusted: nightlatch machine list, and nightlatch machine unlock NAME";
    case "pin/busy":
      return "on the server, see why: journalctl -u nightlatch-server";
    case "pin/revoked":
      return [...anotherIdentity(state, binding), bindAnew(device, binding, "latch INVITE")].join("\n");
    case "pin/unknown-key":
      return `see whether the server's store was replaced by another; where the old one is gone\n${bindAnew(device, binding, "latch INVITE")}`;
    case "tpm2/wrong-state":
    case "tpm2/other-chip":
      return [WHY_MEASURED, rebindStep(device, binding)].join("\n");
    case "pin/wrong-key":
    case "luks/not-proved":
      return bindAnew(device, binding, latch);
    case "net/too-large":
    case "pin/bad-reply":
      return error.remedy ?? lookAt(binding).join("\n");
    default:
      if (error !== null && !isDamaged(error.code) && error.remedy !== undefined) return error.remedy;
      // Gone, it is no way in any more; it was none before.
      return [
        unbind(device, token, binding),
        ...(another ? [] : [`nightlatch bind ${shellWord(device)} ${latch}`]),
      ].join("\n");
  }
}

/** Codes of a token that cannot be read: nothing at its server mends it. */
const isDamaged = (code: string): boolean => /^(?:clevis|jwe|jwk|jws|tang|json)\//.test(code);

function lookAt({ kind, urls, error }: BindingFacts): string[] {
  const [url] = urls;
  if (url === undefined) return [];
  const host = URL.canParse(url) ? new URL(url).hostname : url;
  if (/ENOTFOUND|EAI_AGAIN/.test(error?.message ?? ""))
    return [`see whether the name is known: getent ahosts ${shellWord(host)}`];
  const service = kind === "latch" ? "nightlatch-server.service" : "tangd.socket";
  return [
    `see whether it answers: curl -sS -m 10 -o /dev/null ${shellWord(`${url}/adv`)}`,
    `on the server: systemctl status ${service}`,
  ];
}

/** A server that has revoked a machine takes it back as another one alone. */
function anotherIdentity(state: string, { kind }: BindingFacts): string[] {
  const path = shellWord(`${state}/identity.key`);
  return kind === "latch" ? [`if the machine is trusted again, make it another one: mv ${path} ${path}.revoked`] : [];
}

/**
 * The server of a binding that is done with does not prove its keyslot any more: a person names it.
 */
function bindAnew(device: string, binding: BindingFacts, latch: string): string {
  const { kind, urls, keyslots } = binding;
  if (kind === "tpm2") return rebindStep(device, binding);
  const where = kind === "latch" ? latch : `tang ${shellWord(urls[0] ?? "URL")}`;
  const slot = keyslots[0] === undefined ? "" : ` --slot ${keyslots[0]}`;
  return `bind it anew, if the machine is trusted: nightlatch bind ${shellWord(device)} ${where} --replace${slot}`;
}

function unbind(device: string, token: number, { keyslots }: BindingFacts): string {
  const slot = keyslots[0] === undefined ? "" : ` --slot ${keyslots[0]}`;
  return `nightlatch unbind ${shellWord(device)} --token ${token}${slot}`;
}
