// @ts-nocheck
import { hashOfId, type TpmHash, tpmDigest } from "./hash.ts";
import { type Refuse, sized, TpmReader, u16, u32 } from "./wire.ts";

const [ALG_RSA, ALG_KEYEDHASH, ALG_AES, ALG_NULL, ALG_ECC, ALG_CFB] = [0x0001, 0x0008, 0x0006, 0x0010, 0x0023, 0x0043];
const ECC_NIST_P256 = 0x0003;
const AES_BITS = 128;
const RSA_BITS = 2048;
/** Of a point of P-256. */
export const COORDINATE_BYTES = 32;

/** TPMA_OBJECT, part 2 section 8.3. */
const [FIXED_TPM, FIXED_PARENT, SENSITIVE_DATA_ORIGIN] = [1 << 1, 1 << 4, 1 << 5];
const [USER_WITH_AUTH, ADMIN_WITH_POLICY, NO_DA] = [1 << 6, 1 << 7, 1 << 10];
const [RESTRICTED, DECRYPT] = [1 << 16, 1 << 17];

const PRIMARY_ATTRIBUTES = FIXED_TPM | FIXED_PARENT | SENSITIVE_DATA_ORIGIN | USER_WITH_AUTH | RESTRICTED | DECRYPT;
const SEALED_ATTRIBUTES = FIXED_TPM | FIXED_PARENT | ADMIN_WITH_POLICY;

/** The kinds of primary key that clevis has a chip derive. */
export type PrimaryKind = "ecc" | "rsa";

/**
 * Writes the template (TPMT_PUBLIC) of the primary key that `tpm2_createprimary -C o -g HASH -G
 * KIND` derives: a restricted storage key with AES-128-CFB inside, P-256 or RSA-2048. The same
 * template gives the same key until the chip's owner hierarchy is cleared.
 */
export function primaryTemplate(kind: PrimaryKind, hash: TpmHash): Buffer {
  const head = [u16(kind === "ecc" ? ALG_ECC : ALG_RSA), u16(hash.id), u32(PRIMARY_ATTRIBUTES), sized(NOTHING)];
  const inside = [u16(ALG_AES), u16(AES_BITS), u16(ALG_CFB), u16(ALG_NULL)];
  const own =
    kind === "ecc"
      ? [u16(ECC_NIST_P256), u16(ALG_NULL), sized(NOTHING), sized(NOTHING)]
      : [u16(RSA_BITS), u32(0), sized(NOTHING)];
  return Buffer.concat([...head, ...inside, ...own]);
}

/**
 * Writes the template of an object that holds sealed data, as `tpm2_create -i` does for clevis.
 * @param policy the digest of the policy that unseals it; null: nothing but an empty password does
 * @param countsAttempts whether the chip counts wrong authorization values, and locks at its limit
 */
export function sealedTemplate(hash: TpmHash, policy: Buffer | null, countsAttempts: boolean = false): Buffer {
  const attributes = SEALED_ATTRIBUTES | (policy === null ? USER_WITH_AUTH : 0) | (countsAttempts ? 0 : NO_DA);
  const head = [u16(ALG_KEYEDHASH), u16(hash.id), u32(attributes), sized(policy ?? NOTHING)];
  return Buffer.concat([...head, u16(ALG_NULL), sized(NOTHING)]);
}

const NOTHING = Buffer.alloc(0);

/** The public half of a primary key, to which a secret can be encrypted. */
export type PrimaryPublic = { readonly hash: TpmHash; readonly name: Buffer } & (
  | { readonly kind: "ecc"; readonly x: Buffer; readonly y: Buffer }
  | { readonly kind: "rsa"; readonly modulus: Buffer }
);

/**
 * Reads the public area that a chip gives of a primary key. It has to be what was asked for, but
 * for the key itself.
 */
export function parsePrimaryPublic(area: Buffer, asked: Buffer, refuse: Refuse): PrimaryPublic {
  const lengthBytes = asked.length - (asked.readUInt16BE() === ALG_ECC ? 4 : 2);
  if (!area.subarray(0, lengthBytes).equals(asked.subarray(0, lengthBytes))) {
    refuse("it is the public half of another kind of key than was asked for");
  }
  const reader = new TpmReader(area.subarray(lengthBytes), refuse);
  const hash = hashOfId(area.readUInt16BE(2)) ?? refuse("its hash is not known");
  const name = nameOfArea(area, hash);
  if (asked.readUInt16BE() === ALG_RSA) {
    const modulus = reader.sized(RSA_BITS / 8);
    reader.end();
    if (modulus.length !== RSA_BITS / 8) refuse("its modulus has another length");
    return { kind: "rsa", hash, name, modulus };
  }
  const [x, y] = [reader.sized(COORDINATE_BYTES), reader.sized(COORDINATE_BYTES)];
  reader.end();
  return { kind: "ecc", hash, name, x, y };
}

/** What the public area of a sealed object says. */
export interface SealedPublic {
  /** Of its name, and of the policy that unseals it. */
  readonly hash: TpmHash;
  /** Whether its own password, which clevis leaves empty, unseals it without a policy. */
  readonly opensByPassword: boolean;
  /** Empty where there is none. */
  readonly policy: Buffer;
  /** The object's name: TPM 2.0 part 1, section 16. */
  readonly name: Buffer;
}

const DIGEST_BYTES = 64;
const AREA_BYTES = 1024;

/** Reads a TPM2B_PUBLIC of a sealed object, as it lies in a binding. */
export function parseSealedPublic(bytes: Buffer, refuse: Refuse): SealedPublic {
  const outer = new TpmReader(bytes, refuse);
  const area = outer.sized(AREA_BYTES);
  outer.end();
  const reader = new TpmReader(area, refuse);
  if (reader.u16() !== ALG_KEYEDHASH) refuse("it is no sealed object");
  const hash = hashOfId(reader.u16()) ?? refuse("its hash is not known");
  const attributes = reader.u32();
  const policy = reader.sized(DIGEST_BYTES);
  if (policy.length !== 0 && policy.length !== hash.lengthBytes) refuse("its policy has another length than its hash");
  if (reader.u16() !== ALG_NULL) refuse("it is a key, and no sealed object");
  reader.sized(DIGEST_BYTES);
  reader.end();
  return { hash, opensByPassword: (attributes & USER_WITH_AUTH) !== 0, policy, name: nameOfArea(area, hash) };
}

function nameOfArea(area: Uint8Array, hash: TpmHash): Buffer {
  return Buffer.concat([u16(hash.id), tpmDigest(hash, area)]);
}

/** TPMT_SYM_DEF of the encryption of a session's parameters: AES-128-CFB. */
export const SESSION_CIPHER = Buffer.concat([u16(ALG_AES), u16(AES_BITS), u16(ALG_CFB)]);
