import { isError } from "../../core/errors.ts";
import { Secret } from "../../core/secret.ts";
import { printable } from "../../core/text.ts";
import type { TokenFacts } from "../../formats/pkcs11/exchange.ts";
import { type AskPin, pinNeeded } from "../../pins/pkcs11/pin-source.ts";
import type { Terminal } from "../command.ts";

/**
 * Gives the same system with a person who may be asked for the PIN of a card. A command that uses a
 * card several times asks once: what was typed is kept until the process ends.
 */
export function askingForPins<S extends object>(system: S, terminal: Terminal): S & { readonly askPin: AskPin } {
  let askPin = askers.get(terminal);
  if (askPin === undefined) {
    askPin = makeAsker(terminal);
    askers.set(terminal, askPin);
  }
  return { ...system, askPin };
}

/** A command has one terminal, however often it makes a power of its system. */
const askers = new WeakMap<Terminal, AskPin>();

function makeAsker(terminal: Terminal): AskPin {
  const typed = new Map<string, Promise<Secret>>();
  return async (token) => {
    const name = `${token.label}\0${token.serial}`;
    const known = typed.get(name);
    if (known !== undefined) return Secret.copy((await known).reveal());
    const asked = ask(terminal, token);
    typed.set(name, asked);
    asked.catch(() => typed.delete(name));
    return Secret.copy((await asked).reveal());
  };
}

async function ask(terminal: Terminal, token: TokenFacts): Promise<Secret> {
  try {
    return await terminal.askSecret(`PIN of the token ${JSON.stringify(printable(token.label, 40))}: `);
  } catch (error) {
    throw isError(error, "usage/no-terminal") ? pinNeeded(token) : error;
  }
}
