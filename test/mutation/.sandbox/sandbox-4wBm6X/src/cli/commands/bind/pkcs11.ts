// @ts-nocheck
import type { Binding } from "../../../bindings/binding.ts";
import { SERVER_TIMEOUT_MS } from "../../../bindings/recovery.ts";
import { NightlatchError } from "../../../core/errors.ts";
import { isText } from "../../../formats/json/narrow.ts";
import { formatPkcs11Uri, type Pkcs11Uri, parsePkcs11Uri } from "../../../formats/pkcs11/uri.ts";
import { prepareCard } from "../../../pins/pkcs11/seal.ts";
import { askingForPins } from "../../volume/card-pin.ts";
import type { BindInput } from "./options.ts";
import type { BindPin, BindPlan } from "./plan.ts";

const URI_LENGTH = 2048;

/** The pin pkcs11, as `bind` takes it. */
export const pkcs11Entry: BindPin = {
  name: "pkcs11",
  usage: "URI",
  needs: 1,
  takes: (_word, before) => before.length === 0,
  members: { uri: (value) => (isText(value, URI_LENGTH) ? [value] : null) },
  plan: pkcs11Plan,
};

/**
 * Binds to a key of a card or an HSM. The card is asked before the passphrase is, and has to open
 * what was sealed to it.
 * @param words those behind `pkcs11`
 * @throws NightlatchError usage/wrong, pkcs11/malformed
 */
async function pkcs11Plan({ system, terminal }: BindInput, words: readonly string[]): Promise<BindPlan> {
  const [word, ...more] = words;
  if (word === undefined || more.length > 0) {
    throw new NightlatchError("usage/wrong", "bind: pkcs11 needs one URI of a key on a card", {
      remedy: "See what there is: p11tool --list-tokens, pkcs11-tool --list-token-slots",
    });
  }
  const uri = parseNewUri(word);
  const target = formatPkcs11Uri({ token: uri.token, object: uri.object });
  return {
    target,
    asked: "The card",
    isSameTarget: (binding: Binding) => binding.kind === "pkcs11" && binding.target === target,
    prepare: async () => {
      const limits = { timeoutMs: SERVER_TIMEOUT_MS, signal: terminal.signal };
      const seal = await prepareCard(askingForPins(system, terminal), uri, limits);
      terminal.hint(`The card has opened what was sealed to ${target}.`);
      return { target, seal: async (passphrase) => seal(passphrase) };
    },
    finish: async () => {},
  };
}

/** What may stand in a header: docs/decisions/097-where-a-pin-comes-from.md */
function parseNewUri(text: string): Pkcs11Uri {
  const uri = parsePkcs11Uri(text);
  if (uri.pinValue !== undefined) {
    throw new NightlatchError("usage/wrong", "bind: a PIN in the URI is not written into a header", {
      meaning: "Whoever has the disk could read it there. Nothing was changed.",
      remedy: "Leave pin-value out: the PIN is asked for, or comes from a systemd credential or a pin-source.",
    });
  }
  const { token, serial, slotId } = uri.token;
  if (slotId !== undefined || (token === undefined && serial === undefined)) {
    throw new NightlatchError("usage/wrong", "bind: the URI has to name a card by its label or serial number", {
      meaning: "A PIN would be tried on whatever card is in, and slots change their numbers. Nothing was changed.",
      remedy: "Such as pkcs11:token=ops;object=disk; to see what there is: pkcs11-tool --list-token-slots",
    });
  }
  return uri;
}
