// @ts-nocheck
import { NightlatchError } from "../../../core/errors.ts";
import type { Conversation } from "../../../reboot/conversation.ts";
import { readKeyFile } from "../../volume/input.ts";
import type { StagingInput } from "./options.ts";

/**
 * The conversation of a command: with the person at its terminal, and with what its options say
 * beforehand.
 */
export function converse(input: StagingInput): Conversation {
  const { options, system, terminal } = input;
  const keyFile = options["key-file"];
  return {
    hint: (text) => terminal.hint(text),
    requireConsent: (question) => requireConsent(input, question),
    givenKey: () => readKeyFile(keyFile, system, terminal),
    askSecret: keyFile === undefined ? (prompt) => terminal.askSecret(prompt) : null,
    signal: terminal.signal,
  };
}

/**
 * Nothing that weakens a disk happens because a script did not know what it asks for: a person
 * agrees, or whoever wrote the script has.
 * @throws NightlatchError usage/no-terminal, usage/cancelled
 */
async function requireConsent({ options, terminal }: StagingInput, question: string): Promise<void> {
  if (options.yes) return;
  const meaning = "No key was made; no volume was changed.";
  if (!terminal.isInteractive) {
    throw new NightlatchError("usage/no-terminal", "keys would lie on an unencrypted disk, and nobody was asked", {
      meaning,
      remedy: "Pass --yes where that is meant.",
    });
  }
  if (!(await terminal.confirm(question))) throw new NightlatchError("usage/cancelled", "cancelled", { meaning });
}
