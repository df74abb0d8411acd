// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";
import type { JsonObject } from "../json/json.ts";
import { isText } from "../json/narrow.ts";
import type { SealedObject } from "../tpm2/commands.ts";
import { hashNamed, type TpmHash } from "../tpm2/hash.ts";
import { type PrimaryKind, parseSealedPublic, type SealedPublic } from "../tpm2/public-area.ts";
import { parseRegisterList, type Registers } from "../tpm2/registers.ts";
import { type ClevisPin, configurationOf, decodeMember, malformedBinding, requireAlgorithm } from "./clevis.ts";

/** Our own name of a binding to a TPM that wants a PIN; clevis has none. */
export const PIN_PIN = "tpm2-pin";

/** What a tpm2 binding holds beside its ciphertext: docs/format/clevis.md. */
export interface Tpm2Pin {
  /** Of the primary key under which the key lies. */
  readonly primary: { readonly kind: PrimaryKind; readonly hash: TpmHash };
  readonly sealed: SealedObject;
  /** What `sealed.public` says. */
  readonly public: SealedPublic;
  /** null: the chip alone, whatever was started on the machine. */
  readonly registers: Registers | null;
  /** Of the PIN that it wants; null where it wants none. */
  readonly salt: Buffer | null;
}

/** Of the salt of a PIN. */
export const SALT_BYTES = 16;
const BLOB_LENGTH = 4096;

/** tpm2-tools' words for one and the same key. */
const KINDS: Readonly<Record<string, PrimaryKind>> = {
  ecc: "ecc",
  ecc256: "ecc",
  ecc_nist_p256: "ecc",
  rsa: "rsa",
  rsa2048: "rsa",
};

/**
 * Reads the header of a tpm2 binding, or of a tpm2-pin binding.
 * @throws NightlatchError clevis/malformed, jwe/unsupported, tpm2/unsupported
 */
export function parseTpm2Pin(clevis: ClevisPin): Tpm2Pin {
  const configuration = configurationOf(clevis);
  requireAlgorithm(clevis, "dir");
  const word = (member: string): string => {
    const value = configuration[member];
    return isText(value, 64) ? value : malformedBinding(`the binding's ${member} is missing`);
  };
  const blob = (member: string): Buffer => {
    const value = configuration[member];
    if (!isText(value, BLOB_LENGTH)) malformedBinding(`the binding's ${member} is missing, or too long`);
    return decodeMember(value, `the binding's ${member}`);
  };
  const [key, hash] = [word("key"), word("hash")];
  const kind = Object.hasOwn(KINDS, key) ? KINDS[key] : undefined;
  const known = hashNamed(hash);
  if (kind === undefined) throw unsupported(`the key ${JSON.stringify(key)}`);
  if (known === null) throw unsupported(`the hash ${JSON.stringify(hash)}`);
  const sealed = { public: blob("jwk_pub"), private: blob("jwk_priv") };
  const inside = parseSealedPublic(sealed.public, (message) => malformedBinding(`the binding's jwk_pub: ${message}`));
  const salt = clevis.name === PIN_PIN ? blob("salt") : null;
  if (salt !== null && salt.length !== SALT_BYTES) malformedBinding("the salt of the binding's PIN has another length");
  return { primary: { kind, hash: known }, sealed, public: inside, registers: parseRegisters(configuration), salt };
}

function parseRegisters(configuration: JsonObject): Registers | null {
  const ids = configuration["pcr_ids"];
  if (ids === undefined || ids === "") return null;
  const numbers = typeof ids === "string" ? parseRegisterList(ids) : null;
  if (numbers === null) malformedBinding("the binding's pcr_ids are no list of registers");
  const name = configuration["pcr_bank"];
  if (typeof name !== "string") malformedBinding("the binding names no bank of its registers");
  const bank = hashNamed(name);
  if (bank === null) throw unsupported(`the bank ${JSON.stringify(name.slice(0, 32))}`);
  return { bank, numbers };
}

function unsupported(what: string): NightlatchError {
  return new NightlatchError("tpm2/unsupported", `the binding needs ${what}, which is not supported`, {
    meaning: "Stock clevis may open the volume; its passphrase does.",
    remedy: "Bind it anew with nightlatch bind DEV tpm2, and remove this binding with nightlatch unbind DEV --slot N.",
  });
}

/**
 * Makes the header that `clevis encrypt tpm2` writes, member for member; with a salt, of a tpm2-pin
 * binding.
 */
export function tpm2Header({ primary, sealed, registers, salt }: Omit<Tpm2Pin, "public">): JsonObject {
  const measured: JsonObject =
    registers === null ? {} : { pcr_bank: registers.bank.name, pcr_ids: registers.numbers.join(",") };
  const tpm2: JsonObject = {
    hash: primary.hash.name,
    jwk_priv: sealed.private.toString("base64url"),
    jwk_pub: sealed.public.toString("base64url"),
    key: primary.kind,
    ...measured,
    ...(salt === null ? {} : { salt: salt.toString("base64url") }),
  };
  const pin = salt === null ? "tpm2" : PIN_PIN;
  return { alg: "dir", clevis: { pin, [pin]: tpm2 }, enc: "A256GCM" };
}
