// @ts-nocheck
import type { Json, JsonObject } from "../json/json.ts";
import { isInteger, isList, isText, isTextLike } from "../json/narrow.ts";
import { RECOVERY_TYPE } from "../systemd/recovery-key.ts";

/** What a token of another program asks for at boot: docs/format/foreign-tokens.md. */
export type ForeignToken =
  | {
      readonly kind: "tpm2";
      /** Registers that have to be as they were when it was enrolled. */
      readonly pcrs: readonly number[];
      /** null where the token does not say. */
      readonly bank: string | null;
      readonly pin: boolean;
      /** Registers whose state a signature vouches for. */
      readonly signedPcrs: readonly number[];
      readonly pcrlock: boolean;
    }
  | { readonly kind: "pkcs11"; readonly uri: string }
  | {
      readonly kind: "fido2";
      readonly rp: string;
      /** null where the token does not say: as the key itself wants. */
      readonly pin: boolean | null;
      readonly touch: boolean;
      readonly verification: boolean;
    }
  | { readonly kind: "recovery" }
  | { readonly kind: "keyring"; readonly description: string }
  /** Of a known type, and not as that program writes it. */
  | { readonly kind: "damaged" };

const DAMAGED: ForeignToken = { kind: "damaged" };
const REGISTERS = 24;

/**
 * Reads a token of a program that is known here; null where its type is another. All that it says
 * is untrusted.
 */
export function readForeignToken(token: JsonObject): ForeignToken | null {
  switch (token["type"]) {
    case "systemd-tpm2":
      return readTpm2(token);
    case "systemd-pkcs11": {
      const uri = token["pkcs11-uri"];
      return isText(uri, 1024) && uri.startsWith("pkcs11:") ? { kind: "pkcs11", uri } : DAMAGED;
    }
    case "systemd-fido2":
      return readFido2(token);
    case RECOVERY_TYPE:
      return { kind: "recovery" };
    case "luks2-keyring": {
      const description = token["key_description"];
      return isText(description, 1024) ? { kind: "keyring", description } : DAMAGED;
    }
    default:
      return null;
  }
}

function readTpm2(token: JsonObject): ForeignToken {
  const { "tpm2-pcrs": pcrs, "tpm2-pcr-bank": bank = null, tpm2_pubkey_pcrs: signedPcrs = [] } = token;
  const { "tpm2-pin": pin = false, tpm2_pcrlock: pcrlock = false } = token;
  if (!isRegisters(pcrs) || !isRegisters(signedPcrs)) return DAMAGED;
  if (bank !== null && !isTextLike(bank, /^[a-z0-9_]{1,16}$/)) return DAMAGED;
  if (typeof pin !== "boolean" || typeof pcrlock !== "boolean") return DAMAGED;
  return { kind: "tpm2", pcrs: sorted(pcrs), bank, pin, signedPcrs: sorted(signedPcrs), pcrlock };
}

function readFido2(token: JsonObject): ForeignToken {
  const { "fido2-rp": rp = "io.systemd.cryptsetup", "fido2-clientPin-required": pin = null } = token;
  const { "fido2-up-required": touch = true, "fido2-uv-required": verification = false } = token;
  if (!isText(rp, 256) || (pin !== null && typeof pin !== "boolean")) return DAMAGED;
  if (typeof touch !== "boolean" || typeof verification !== "boolean") return DAMAGED;
  return { kind: "fido2", rp, pin, touch, verification };
}

function isRegisters(json: Json | undefined): json is number[] {
  return isList(json, REGISTERS) && json.every((register) => isInteger(register, 0, REGISTERS - 1));
}

const sorted = (numbers: readonly number[]): readonly number[] => [...new Set(numbers)].sort((a, b) => a - b);
