import { beginChange } from "../luks/begin.ts";
import type { Change } from "../luks/change.ts";
import { reportBackups, tellSettled } from "./change-report.ts";
import type { CommandInput } from "./command.ts";
import { proveOverNetwork, readPassphrase, stateFolderOf } from "./volume-input.ts";

/** Begins a change of a volume's header, and tells what an earlier run had left. The caller disposes it. @throws as beginChange */
export async function beginVolumeChange(input: CommandInput, device: string): Promise<Change> {
  const { options, system, terminal } = input;
  const change = await beginChange(system, {
    device,
    stateFolder: stateFolderOf(options),
    passphrase: () => readPassphrase(input, device),
    prove: proveOverNetwork(system, terminal.signal),
    tell: tellSettled(terminal, device),
  });
  reportBackups(terminal, change);
  return change;
}
