// @ts-nocheck
import { proveOverNetwork } from "../../bindings/recovery.ts";
import type { Secret } from "../../core/secret.ts";
import { beginChange, type HeldVolume, holdVolume } from "../../luks/change/begin.ts";
import type { Change, Prove } from "../../luks/change/change.ts";
import { askingForPins } from "./card-pin.ts";
import { reportBackups, tellSettled } from "./change-report.ts";
import { readPassphrase, stateFolderOf, type VolumeInput } from "./input.ts";
import type { Passphrases } from "./passphrases.ts";

/**
 * Keeps other runs from changing a volume; the caller disposes it. Nobody is asked for anything.
 * @throws as holdVolume
 */
export async function holdForChange({ options, system, terminal }: VolumeInput, device: string): Promise<HeldVolume> {
  const held = await holdVolume(system, device, stateFolderOf(options.state));
  reportBackups(terminal, held);
  return held;
}

/** What differs from change to change. */
interface ChangeOptions {
  /** Where several volumes are changed in one run. */
  readonly passphrases?: Passphrases;
  /** Gives the passphrase in place of a person, as ChangeRequest has it. */
  readonly passphrase?: (tries: number) => Promise<Secret | null>;
  /** Whose proof is taken; the servers' alone, where it is absent. */
  readonly prove?: Prove;
}

/**
 * Asks for the passphrase, begins a change of a volume's header, and tells what an earlier run had
 * left. The caller disposes it.
 * @throws as beginChange
 */
export async function beginVolumeChange(
  input: VolumeInput,
  held: HeldVolume,
  { passphrases, passphrase, prove }: ChangeOptions = {},
): Promise<Change> {
  const { system, terminal } = input;
  const { device } = held.volume;
  const change = await beginChange(system, held, {
    passphrase: passphrase ?? ((tries) => passphrases?.give(device, tries) ?? readPassphrase(input, device, tries)),
    prove: prove ?? proveOverNetwork(askingForPins(system, terminal), terminal.signal),
    tell: tellSettled(terminal, device),
  });
  passphrases?.keep(change.passphrase);
  if (held.left.length > 0) reportBackups(terminal, change);
  return change;
}
