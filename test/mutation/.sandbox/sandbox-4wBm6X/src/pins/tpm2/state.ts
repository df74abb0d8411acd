// @ts-nocheck
import type { AttemptLimits } from "../../core/limits.ts";
import { type Measured, pinPolicy, registerPolicy } from "../../formats/tpm2/registers.ts";
import { Chip, type ChipPower } from "./chip.ts";

/**
 * Reads what the registers hold now that keys are sealed to. Nothing is unsealed.
 * @returns for each the values, in the order of its registers
 * @throws NightlatchError tpm2/*
 */
export async function readState(
  system: ChipPower,
  measured: readonly Measured[],
  limits: AttemptLimits,
): Promise<readonly (readonly Buffer[])[]> {
  await using chip = await Chip.open(system, limits);
  const states: (readonly Buffer[])[] = [];
  for (const { registers } of measured) states.push(await chip.registers(registers));
  return states;
}

/** Tells whether these values of its registers are those that a key is sealed to. */
export function isSealedState({ hash, registers, policy, withPin }: Measured, values: readonly Buffer[]): boolean {
  const measured = registerPolicy(hash, registers, values);
  return (withPin ? pinPolicy(hash, measured) : measured).equals(policy);
}
