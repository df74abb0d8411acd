// @ts-nocheck
import { Secret } from "../../core/secret.ts";
import { inTurns } from "../../core/turns.ts";
import type { AskPin, PinHolder } from "../../pins/ask-pin.ts";
import type { Terminal } from "../command.ts";

/**
 * Gives the same system with a person who may be asked for the PIN of a card or a chip. A command
 * asks once for each, however often it uses it: what was typed is kept until the process ends.
 */
export function askingForPins<S extends object>(system: S, terminal: Terminal): S & { readonly askPin: AskPin } {
  return { ...system, askPin: askerOf(terminal).ask };
}

/** Has a PIN that was typed, and is to be held by something new, not be asked for once more. */
export function keepPin(terminal: Terminal, holder: PinHolder, pin: Secret): void {
  askerOf(terminal).typed.set(holder.id, Promise.resolve(Secret.copy(pin.reveal())));
}

interface Asker {
  readonly ask: AskPin;
  /** By the holder's id. */
  readonly typed: Map<string, Promise<Secret>>;
}

/** A command has one terminal, however often it makes a power of its system. */
const askers = new WeakMap<Terminal, Asker>();

function askerOf(terminal: Terminal): Asker {
  let asker = askers.get(terminal);
  if (asker === undefined) {
    asker = makeAsker(terminal);
    askers.set(terminal, asker);
  }
  return asker;
}

function makeAsker(terminal: Terminal): Asker {
  const typed: Asker["typed"] = new Map();
  const inTurn = inTurns(); // one terminal cannot ask two questions at once
  return {
    typed,
    ask: async ({ id, name }) => {
      const known = typed.get(id);
      if (known !== undefined) return Secret.copy((await known).reveal());
      const asked = inTurn(() => terminal.askSecret(`PIN of ${name}: `));
      typed.set(id, asked);
      asked.catch(() => typed.delete(id));
      return Secret.copy((await asked).reveal());
    },
  };
}
