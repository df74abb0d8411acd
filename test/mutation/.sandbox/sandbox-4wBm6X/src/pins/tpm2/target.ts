// @ts-nocheck
import type { Registers } from "../../formats/tpm2/registers.ts";

/** Says what a binding is sealed to, e.g. `sha256:7,11`, or `with a PIN, sha256:7,11`. */
export function describeTarget(registers: Registers | null, withPin: boolean): string {
  const state = registers === null ? "without registers" : `${registers.bank.name}:${registers.numbers.join(",")}`;
  return withPin ? `with a PIN, ${state}` : state;
}
