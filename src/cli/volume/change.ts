import { proveOverNetwork } from "../../bindings/recovery.ts";
import type { Secret } from "../../core/secret.ts";
import { beginChange, type HeldVolume, holdVolume } from "../../luks/change/begin.ts";
import type { Change } from "../../luks/change/change.ts";
import { reportBackups, tellSettled } from "./change-report.ts";
import { readPassphrase, stateFolderOf, type VolumeInput } from "./input.ts";

/**
 * Keeps other runs from changing a volume; the caller disposes it. Nobody is asked for anything.
 * @throws as holdVolume
 */
export async function holdForChange({ options, system, terminal }: VolumeInput, device: string): Promise<HeldVolume> {
  const held = await holdVolume(system, device, stateFolderOf(options.state));
  reportBackups(terminal, held);
  return held;
}

/**
 * Asks for the passphrase, begins a change of a volume's header, and tells what an earlier run had
 * left. The caller disposes it.
 * @param passphrase gives it in place of a person, as ChangeRequest has it
 * @throws as beginChange
 */
export async function beginVolumeChange(
  input: VolumeInput,
  held: HeldVolume,
  passphrase?: (tries: number) => Promise<Secret | null>,
): Promise<Change> {
  const { system, terminal } = input;
  const { device } = held.volume;
  const change = await beginChange(system, held, {
    passphrase: passphrase ?? ((tries) => readPassphrase(input, device, tries)),
    prove: proveOverNetwork(system, terminal.signal),
    tell: tellSettled(terminal, device),
  });
  if (held.left.length > 0) reportBackups(terminal, change);
  return change;
}
