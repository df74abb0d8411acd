// @ts-nocheck
import { NightlatchError } from "../../../core/errors.ts";
import type { Secret } from "../../../core/secret.ts";
import { differingGroups, readRecoveryKey } from "../../../formats/systemd/recovery-key.ts";
import type { System } from "../../../system/port.ts";
import type { Terminal } from "../../command.ts";
import { composePage, requirePlace } from "./page.ts";
import { composeScreen } from "./screen.ts";

/** What of a volume is told beside its key. */
interface Named {
  readonly device: string;
  readonly uuid: string;
  readonly label: string;
}

/** One way in which a new key gets into its owner's hands, before its keyslot is made. */
export interface HandOver {
  /** The page that it writes; null for the other ways. */
  readonly page: string | null;
  /** Whether the owner types it back. */
  readonly confirms: boolean;
  /** @throws NightlatchError usage/cancelled, file/* */
  give(key: Secret, volume: Named): Promise<void>;
  /** Takes back what can be, where the key turned out to open nothing. */
  takeBack(): Promise<void>;
}

interface HandOverOptions {
  readonly page: string | undefined;
  readonly print: boolean;
  readonly "no-confirm": boolean;
}

/**
 * Finds the one place that the key goes to: the screen by itself, a page, or standard output. What
 * stands against it is found out before a key is made.
 * @throws NightlatchError usage/wrong, usage/no-terminal, as requirePlace
 */
export async function chooseHandOver(
  system: Pick<System, "run" | "lstat" | "realPath" | "writeFile" | "removeFile" | "nowMs">,
  terminal: Terminal,
  { page, print, "no-confirm": skips }: HandOverOptions,
): Promise<HandOver> {
  const wrong = (what: string) => new NightlatchError("usage/wrong", `recovery add: ${what}`);
  if (page !== undefined && print) throw wrong("--page and --print are two places; the key goes to one");
  if (print && terminal.json) throw wrong("with --json no key is on standard output; use --page");
  if (skips && (print || page !== undefined)) throw wrong("--no-confirm goes with the key on the screen");
  const nothing = async () => {};
  if (print) {
    const give = async (key: Secret) => await printLine(terminal, key);
    return { page: null, confirms: false, give, takeBack: nothing };
  }
  if (page !== undefined) {
    const place = await requirePlace(system, page);
    const give = async (key: Secret, volume: Named) => {
      const bytes = composePage(key, { ...volume, nowMs: system.nowMs() });
      await system.writeFile(place, bytes, 0o600).finally(() => bytes.fill(0));
    };
    return { page: place, confirms: false, give, takeBack: () => system.removeFile(place) };
  }
  if (!terminal.hasScreen) throw noScreen();
  const give = async (key: Secret, { device }: Named) => await show(terminal, key, device, !skips);
  return { page: null, confirms: !skips, give, takeBack: nothing };
}

async function printLine(terminal: Terminal, key: Secret): Promise<void> {
  const line = Buffer.concat([key.reveal(), Buffer.from("\n")]);
  await terminal.print(line).finally(() => line.fill(0));
}

/**
 * Shows the key, and asks for it back until it is right: one that was written down wrongly is worth
 * nothing.
 */
async function show(terminal: Terminal, key: Secret, device: string, confirms: boolean): Promise<void> {
  for (;;) {
    await terminal.showOnce((screen) => composeScreen(key, device, screen));
    if (!confirms || (await isTypedBack(terminal, key))) return;
  }
}

/** False where the person wants to see it again. */
async function isTypedBack(terminal: Terminal, key: Secret): Promise<boolean> {
  for (;;) {
    using typed = await terminal.askSecret("Type it from what you have (Enter alone shows it again): ");
    if (typed.lengthBytes === 0) return false;
    using read = readRecoveryKey(typed.reveal());
    if (read === null) {
      terminal.hint("That is no recovery key: it has eight groups of eight letters, and dashes between all or none.");
      continue;
    }
    const groups = differingGroups(key, read);
    if (groups.length === 0) return true;
    terminal.hint(`Not the same: look at group ${groups.join(", ")} of the eight.`);
  }
}

function noScreen(): NightlatchError {
  return new NightlatchError("usage/no-terminal", "a recovery key is to be shown, and there is no terminal", {
    meaning: "Nothing was changed.",
    remedy: "Say where it goes: --page FILE for a page in memory, or --print for standard output.",
  });
}
