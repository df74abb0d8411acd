// @ts-nocheck
import type { NightlatchError } from "../../../core/errors.ts";
import { endCalledOff } from "../../../reboot/called-off.ts";
import { type Cleaned, cleanUp, cleanUpCalledOff } from "../../../reboot/clean-up.ts";
import type { CommandInput, ExitStatus, Terminal } from "../../command.ts";
import { type STATE_OPTION, stateFolderOf } from "../../volume/input.ts";

type CancelInput = CommandInput<{ readonly state: typeof STATE_OPTION }>;

/** Cancels all that is staged, or only what is stale: of an earlier boot, or expired. */
export async function cancel(input: CancelInput, which: "all" | "stale"): Promise<ExitStatus> {
  return report(input, await cleanUp(input.system, stateFolderOf(input.options.state), which === "all"), {});
}

/**
 * After a shutdown that began and was called off: all that was staged for it goes, and the default
 * handler waits for the next reboot again. While the system goes down nothing is done, and the
 * timer asks again.
 */
export async function cancelIfCalledOff(input: CancelInput): Promise<ExitStatus> {
  const { system, terminal, options } = input;
  const cleaned = await cleanUpCalledOff(system, stateFolderOf(options.state));
  if (cleaned === null) {
    terminal.result({ ok: true, calledOff: false });
    return 0;
  }
  terminal.line(
    "The shutdown was called off. What it has stopped stays so until: systemctl start {sockets,timers,paths,default}.target",
  );
  const status = report(input, cleaned, { calledOff: true });
  await endCalledOff(system, status !== 0);
  return status;
}

function report({ terminal }: CancelInput, cleaned: Cleaned, facts: Readonly<Record<string, unknown>>): ExitStatus {
  const { removed, disarmed } = cleaned;
  const failures = tellCleaned(terminal, cleaned);
  if (removed.length + disarmed.length + failures.length === 0) terminal.line("Nothing was staged.");
  terminal.result({
    ok: failures.length === 0,
    ...facts,
    removed: removed.map(({ device, record }) => ({ device, slot: record.slot })),
    disarmed,
    failures,
  });
  return failures.length === 0 ? 0 : 1;
}

/** Tells a person what was removed and what could not be. @returns the latter, for a program */
export function tellCleaned(terminal: Terminal, { removed, disarmed, failures }: Cleaned) {
  for (const what of disarmed) terminal.line(`${what}: removed`);
  for (const { device, record } of removed) terminal.line(`${device}: disposable key of slot ${record.slot} removed`);
  for (const failure of failures) terminal.hint(inWords(failure));
  return failures.map(({ code, message }) => ({ code, message }));
}

const inWords = ({ message, meaning, remedy }: NightlatchError): string =>
  [message, meaning, remedy].filter(Boolean).join("\n  ");
