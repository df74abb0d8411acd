import { cleanUp } from "../reboot/clean-up.ts";
import type { CommandInput, ExitStatus } from "./command.ts";

/** @param all also what this boot has staged and has not expired */
export async function takeBack({ system, terminal, options }: CommandInput, all: boolean): Promise<ExitStatus> {
  const { removed, disarmed, failures } = await cleanUp(system, String(options["state"]), all);
  for (const what of disarmed) terminal.line(`${what}: removed`);
  for (const { device, record } of removed) terminal.line(`${device}: disposable key of slot ${record.slot} removed`);
  if (removed.length + disarmed.length === 0 && failures.length === 0) terminal.line("Nothing was staged.");
  terminal.result({
    ok: failures.length === 0,
    removed: removed.map(({ device, record }) => ({ device, slot: record.slot })),
    disarmed,
    failures: failures.map(({ code, message }) => ({ code, message })),
  });
  for (const failure of failures) {
    terminal.hint([failure.message, failure.meaning, failure.remedy].filter(Boolean).join("\n  "));
  }
  return failures.length === 0 ? 0 : 1;
}
