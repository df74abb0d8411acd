// @ts-nocheck
import { PIN_PIN, parseTpm2Pin, type Tpm2Pin } from "../../formats/clevis/tpm2.ts";
import type { BoundPin, Pin } from "../pin.ts";
import { describeTarget } from "./target.ts";
import { unsealKey } from "./unseal.ts";

/** The pin tpm2: the machine's own TPM 2.0, in the state that it was sealed to. */
export const tpm2Pin: Pin = {
  name: "tpm2",
  read(clevis) {
    const pin = parseTpm2Pin(clevis);
    return {
      ...bound(pin),
      early: { pins: ["tpm2"], network: false },
      recover: async ({ system, limits }) => [await unsealKey(system, pin, limits)],
    };
  },
};

/** The pin tpm2-pin, which is our own: the same, and a PIN that a person types. */
export const tpm2PinPin: Pin = {
  name: PIN_PIN,
  read(clevis) {
    const pin = parseTpm2Pin(clevis);
    const { salt } = pin;
    if (salt === null) throw new TypeError(`${PIN_PIN} has a salt`);
    return {
      ...bound(pin),
      early: { pins: [PIN_PIN], network: false, never: NEVER },
      needsPerson: true,
      recover: async ({ system, limits }) => {
        const { unsealByPerson } = await import("./attended.ts"); // the agent never needs it
        return [await unsealByPerson(system, { ...pin, salt }, limits)];
      },
    };
  },
};

const NEVER = "clevis, which opens the volume there, asks nobody for the PIN of a TPM";

function bound(pin: Tpm2Pin): Omit<BoundPin, "early" | "recover"> {
  const { registers, public: sealed, salt } = pin;
  const target = describeTarget(registers, salt !== null);
  return {
    kind: "tpm2",
    urls: [],
    children: [],
    target,
    ...(registers === null ? {} : { measured: { registers, ...sealed, withPin: salt !== null } }),
    describe: () => `tpm2 ${target}`,
  };
}
