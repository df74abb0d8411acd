// @ts-nocheck
import { shellWord } from "../../core/text.ts";
import type { ChangeOperation } from "../../formats/own/intent.ts";
import type { Change, Settled, Tell } from "../../luks/change/change.ts";
import type { Terminal } from "../command.ts";

const OPERATIONS: Readonly<Record<ChangeOperation, string>> = {
  bind: "binding",
  rebind: "rebinding",
  unbind: "unbinding",
  "recovery-add": "addition of a recovery key",
  "recovery-remove": "removal of a recovery key",
};

/** Tells a person what an earlier run had left, and what became of it. */
export function tellSettled(terminal: Terminal, device: string): Tell {
  return (settled) => {
    if (settled.outcome === "disowned") return tellDisowned(terminal, device, settled);
    const { operation } = settled.intent;
    const what = `An earlier ${OPERATIONS[operation]} of this volume was cut short;`;
    const became = settled.outcome === "completed" ? "it is completed now" : "what it had added is removed now";
    terminal.hint(`nightlatch: ${what} ${became}.`);
    if (operation !== "recovery-add") return;
    if (settled.outcome === "undone")
      terminal.hint("  The recovery key that it gave opens nothing: destroy what you have of it.");
    else
      terminal.hint(
        `  The recovery key that it gave is valid. To be sure: nightlatch recovery test ${shellWord(device)}`,
      );
  };
}

/** The record goes when this is told, so this has to hold all that a person needs. */
function tellDisowned(terminal: Terminal, device: string, { intent, orphans }: Settled): void {
  const what = OPERATIONS[intent.operation];
  terminal.hint(
    `nightlatch: ${device} tells of a ${what} that was cut short, and this machine's own record does not bear it out.`,
  );
  terminal.hint(
    "  Another machine began it, the disk was copied, or somebody edited its header. No keyslot was touched.",
  );
  for (const keyslot of orphans) {
    terminal.hint(`  Keyslot ${keyslot} may be left from it. See whether a passphrase of yours opens it:`);
    terminal.hint(`    cryptsetup open --test-passphrase --key-slot ${keyslot} ${device}`);
    terminal.hint("  Only if none does, remove it:");
    terminal.hint(`    cryptsetup luksKillSlot ${device} ${keyslot}`);
  }
}

/** Tells of header backups that nothing explains. */
export function reportBackups(terminal: Terminal, change: Pick<Change, "keptBackups">): void {
  for (const path of change.keptBackups) {
    terminal.hint(`nightlatch: ${path} holds keyslots that the volume has no longer.`);
    terminal.hint(
      "  It is left from a change that was cut short. Remove it once the volume's passphrases are known to work.",
    );
  }
}

/** What an earlier run had left, for a program; docs/json.md. */
export function settledJson(change: Pick<Change, "settled" | "keptBackups">): Record<string, unknown> {
  return {
    settled: change.settled.map(({ intent, outcome, orphans }) => ({ operation: intent.operation, outcome, orphans })),
    keptBackups: change.keptBackups,
  };
}
