// @ts-nocheck
import { type ScryptOptions, scrypt } from "node:crypto";
import { promisify } from "node:util";
import type { Secret } from "../../core/secret.ts";
import { SHA256 } from "../../formats/tpm2/hash.ts";
import { authValueFrom } from "../../formats/tpm2/session.ts";

/** docs/format/tpm2.md: 16 MiB for each guess. */
const COST: ScryptOptions = { N: 1 << 14, r: 8, p: 1 };

const derive = promisify<Uint8Array, Uint8Array, number, ScryptOptions, Buffer>(scrypt);

/**
 * Makes the authorization value of a sealed object out of a PIN. It is slow, for whoever stands
 * between processor and chip sees what guesses can be held to. The caller wipes it.
 * @param salt of the binding
 */
export async function authValueOf(pin: Secret, salt: Uint8Array): Promise<Secret> {
  return authValueFrom(await derive(pin.reveal(), salt, SHA256.lengthBytes, COST));
}
