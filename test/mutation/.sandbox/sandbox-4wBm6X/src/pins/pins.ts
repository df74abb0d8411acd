// @ts-nocheck
import { parseClevisPin } from "../formats/clevis/clevis.ts";
import type { FlattenedJwe } from "../formats/jose/jwe.ts";
import type { BoundPin, Pin } from "./pin.ts";
import { pkcs11EcdhPin, pkcs11Pin } from "./pkcs11/pin.ts";
import { sssPin } from "./sss/pin.ts";
import { tangPin } from "./tang/pin.ts";
import { tpm2Pin, tpm2PinPin } from "./tpm2/pin.ts";

/** The pins that Nightlatch opens. A latch is a tang at an address of our server. */
export const PINS: readonly Pin[] = [tangPin, tpm2Pin, tpm2PinPin, sssPin, pkcs11Pin, pkcs11EcdhPin];

/**
 * Reads a binding's header. A pin that is not on the list is told by its name, and has no
 * `recover`.
 * @throws NightlatchError clevis/malformed, jwe/malformed, jwe/unsupported, and what the pin says
 */
export function readPin(jwe: FlattenedJwe, pins: readonly Pin[] = PINS): BoundPin {
  const clevis = parseClevisPin(jwe);
  return pins.find(({ name }) => name === clevis.name)?.read(clevis) ?? foreignPin(clevis.name);
}

function foreignPin(name: string): BoundPin {
  return {
    kind: name,
    urls: [],
    children: [],
    early: { pins: [name], network: false },
    describe: () => name,
    recover: null,
  };
}
