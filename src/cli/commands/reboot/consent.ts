import { NightlatchError } from "../../../core/errors.ts";
import type { StagingInput } from "./options.ts";

/**
 * Nothing that weakens a disk happens because a script did not know what it asks for: a person agrees, or whoever wrote the script has.
 * @throws NightlatchError usage/no-terminal, usage/cancelled
 */
export async function requireConsent({ options, terminal }: StagingInput, question: string): Promise<void> {
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
