import { parseTpm2Pin } from "../../formats/clevis/tpm2.ts";
import type { Registers } from "../../formats/tpm2/registers.ts";
import type { Pin } from "../pin.ts";
import { unsealKey } from "./unseal.ts";

/** The pin tpm2: the machine's own TPM 2.0, in the state that it was sealed to. */
export const tpm2Pin: Pin = {
  name: "tpm2",
  read(clevis) {
    const pin = parseTpm2Pin(clevis);
    const detail = describeRegisters(pin.registers);
    return {
      kind: "tpm2",
      urls: [],
      children: [],
      early: { pins: ["tpm2"], network: false },
      detail,
      ...(pin.registers === null ? {} : { measured: { registers: pin.registers, ...pin.public } }),
      describe: () => `tpm2 ${detail}`,
      recover: async ({ system, limits }) => [await unsealKey(system, pin, limits)],
    };
  },
};

/** Says what a binding is sealed to, e.g. `sha256:7,11`. */
export function describeRegisters(registers: Registers | null): string {
  return registers === null ? "without registers" : `${registers.bank.name}:${registers.numbers.join(",")}`;
}
