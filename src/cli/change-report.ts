import type { Change, Settled } from "../luks/change.ts";
import type { Terminal } from "./command.ts";

const OPERATIONS = { bind: "binding", rebind: "rebinding", unbind: "unbinding" } as const;

/** What an earlier run had left, and what became of it. */
export function reportSettled(terminal: Terminal, change: Change): void {
  for (const settled of change.settled) terminal.hint(`nightlatch: ${sentenceOf(settled)}`);
  for (const path of change.keptBackups) {
    terminal.hint(`nightlatch: ${path} holds keyslots that the volume has no longer.`);
    terminal.hint(
      "  It is left from a change that was cut short. Remove it once the volume's passphrases are known to work.",
    );
  }
}

function sentenceOf({ intent, outcome }: Settled): string {
  const what = `An earlier ${OPERATIONS[intent.operation]} of this volume was cut short;`;
  return outcome === "completed" ? `${what} it is completed now.` : `${what} what it had added is removed now.`;
}

export function settledJson(change: Change): Record<string, unknown> {
  return {
    settled: change.settled.map(({ intent, outcome }) => ({ operation: intent.operation, outcome })),
    keptBackups: change.keptBackups,
  };
}
