// @ts-nocheck
import { printable } from "../core/text.ts";
import { type ForeignToken, readForeignToken } from "../formats/luks/foreign-token.ts";
import type { HeldToken } from "../luks/header/bindings.ts";

/**
 * Says what a token of another program asks for at boot, as in "the TPM, with PCR 7 (sha256) as
 * when it was enrolled"; null where its type is not known here.
 */
export function describeForeign(token: HeldToken): string | null {
  const read = readForeignToken(token.json);
  return read === null ? null : inWords(read);
}

/** What a program is told of it, beside its number: docs/json.md. */
export function foreignJson(token: HeldToken): Record<string, unknown> {
  return { ...(readForeignToken(token.json) ?? { kind: null }) };
}

function inWords(token: ForeignToken): string {
  switch (token.kind) {
    case "tpm2": {
      const bank = token.bank === null ? "" : ` (${token.bank})`;
      const conditions = [
        ...(token.pcrs.length === 0 ? [] : [`with PCR ${token.pcrs.join("+")}${bank} as when it was enrolled`]),
        ...(token.signedPcrs.length === 0 ? [] : [`with PCR ${token.signedPcrs.join("+")} as a signed policy has it`]),
        ...(token.pcrlock ? ["by systemd-pcrlock's policy"] : []),
      ];
      const state = conditions.length === 0 ? ["whatever was booted"] : conditions;
      return ["the TPM", ...state, ...(token.pin ? ["and a PIN that is typed"] : ["nothing is typed"])].join(", ");
    }
    case "pkcs11":
      return `a smart card and its PIN, ${printable(token.uri, 120)}`;
    case "fido2": {
      const pin = token.pin === null ? ["its PIN, if it wants one"] : token.pin ? ["its PIN"] : [];
      const steps = [
        ...pin,
        ...(token.touch ? ["a touch"] : []),
        ...(token.verification ? ["its check of who it is"] : []),
      ];
      return `a FIDO2 key (${printable(token.rp, 80)}): ${steps.length === 0 ? "nothing but its presence" : steps.join(", ")}`;
    }
    case "recovery":
      return "a recovery key, typed like a passphrase";
    case "keyring":
      return `a passphrase in the kernel's keyring, ${printable(token.description, 80)}`;
    case "damaged":
      return "cannot be read: not as the program writes it";
  }
}
