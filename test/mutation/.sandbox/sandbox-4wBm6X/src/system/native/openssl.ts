// @ts-nocheck
import { libcFunction } from "./native.ts";

/** An address; null where C gives NULL. */
export type Pointer = bigint | null;

/**
 * OpenSSL's own functions, each as its manual page has it: Node carries the library and exports its
 * symbols.
 */
export interface Openssl {
  EC_GROUP_new_by_curve_name(nid: number): Pointer;
  EC_GROUP_get0_order(group: Pointer): Pointer;
  EC_POINT_new(group: Pointer): Pointer;
  EC_POINT_clear_free(point: Pointer): void;
  EC_POINT_oct2point(group: Pointer, into: Pointer, bytes: Uint8Array, lengthBytes: number, context: Pointer): number;
  EC_POINT_point2oct(
    group: Pointer,
    point: Pointer,
    form: number,
    into: Uint8Array,
    lengthBytes: number,
    context: Pointer,
  ): number;
  /** into = base point · ofBase + point · ofPoint */
  EC_POINT_mul(
    group: Pointer,
    into: Pointer,
    ofBase: Pointer,
    point: Pointer,
    ofPoint: Pointer,
    context: Pointer,
  ): number;
  EC_POINT_is_at_infinity(group: Pointer, point: Pointer): number;
  BN_CTX_secure_new(): Pointer;
  BN_secure_new(): Pointer;
  BN_bin2bn(bytes: Uint8Array, lengthBytes: number, into: Pointer): Pointer;
  BN_set_flags(number: Pointer, flags: number): void;
  BN_is_zero(number: Pointer): number;
  BN_cmp(one: Pointer, other: Pointer): number;
  BN_clear_free(number: Pointer): void;
  SHA256(bytes: Uint8Array, lengthBytes: number, into: Uint8Array): Pointer;
  CRYPTO_memcmp(one: Uint8Array, other: Uint8Array, lengthBytes: number): number;
  EVP_aes_256_gcm(): Pointer;
  EVP_CIPHER_CTX_new(): Pointer;
  EVP_CIPHER_CTX_free(context: Pointer): void;
  EVP_CIPHER_CTX_ctrl(context: Pointer, type: number, argument: number, pointer: Uint8Array): number;
  EVP_DecryptInit_ex(context: Pointer, cipher: Pointer, none: null, key: Uint8Array, iv: Uint8Array): number;
  EVP_DecryptUpdate(
    context: Pointer,
    into: Uint8Array | null,
    written: Uint8Array,
    bytes: Uint8Array,
    lengthBytes: number,
  ): number;
  EVP_DecryptFinal_ex(context: Pointer, into: Uint8Array, written: Uint8Array): number;
  ERR_clear_error(): void;
}

const PROTOTYPES: Readonly<Record<keyof Openssl, string>> = {
  EC_GROUP_new_by_curve_name: "void *EC_GROUP_new_by_curve_name(int nid)",
  EC_GROUP_get0_order: "void *EC_GROUP_get0_order(void *group)",
  EC_POINT_new: "void *EC_POINT_new(void *group)",
  EC_POINT_clear_free: "void EC_POINT_clear_free(void *point)",
  EC_POINT_oct2point: "int EC_POINT_oct2point(void *group, void *p, void *buf, size_t len, void *ctx)",
  EC_POINT_point2oct: "size_t EC_POINT_point2oct(void *group, void *p, int form, void *buf, size_t len, void *ctx)",
  EC_POINT_mul: "int EC_POINT_mul(void *group, void *r, void *n, void *q, void *m, void *ctx)",
  EC_POINT_is_at_infinity: "int EC_POINT_is_at_infinity(void *group, void *p)",
  BN_CTX_secure_new: "void *BN_CTX_secure_new()",
  BN_secure_new: "void *BN_secure_new()",
  BN_bin2bn: "void *BN_bin2bn(void *s, int len, void *ret)",
  BN_set_flags: "void BN_set_flags(void *b, int n)",
  BN_is_zero: "int BN_is_zero(void *a)",
  BN_cmp: "int BN_cmp(void *a, void *b)",
  BN_clear_free: "void BN_clear_free(void *a)",
  SHA256: "void *SHA256(void *d, size_t n, void *md)",
  CRYPTO_memcmp: "int CRYPTO_memcmp(void *a, void *b, size_t len)",
  EVP_aes_256_gcm: "void *EVP_aes_256_gcm()",
  EVP_CIPHER_CTX_new: "void *EVP_CIPHER_CTX_new()",
  EVP_CIPHER_CTX_free: "void EVP_CIPHER_CTX_free(void *ctx)",
  EVP_CIPHER_CTX_ctrl: "int EVP_CIPHER_CTX_ctrl(void *ctx, int type, int arg, void *ptr)",
  EVP_DecryptInit_ex: "int EVP_DecryptInit_ex(void *ctx, void *type, void *impl, void *key, void *iv)",
  EVP_DecryptUpdate: "int EVP_DecryptUpdate(void *ctx, void *out, void *outl, void *in, int inl)",
  EVP_DecryptFinal_ex: "int EVP_DecryptFinal_ex(void *ctx, void *outm, void *outl)",
  ERR_clear_error: "void ERR_clear_error()",
};

let opened: Openssl | null | undefined;

/** Opens the OpenSSL that Node brings. Null where koffi or one of the symbols is missing. */
export function openOpenssl(): Openssl | null {
  if (opened === undefined) {
    try {
      const found = Object.entries(PROTOTYPES).map(([name, prototype]) => [name, libcFunction(prototype)]);
      opened = Object.fromEntries(found) as Openssl;
    } catch {
      opened = null;
    }
  }
  return opened;
}

/** Constants of OpenSSL's headers. */
export const UNCOMPRESSED = 4; // POINT_CONVERSION_UNCOMPRESSED, ec.h
export const CONSTANT_TIME = 4; // BN_FLG_CONSTTIME, bn.h
/** NIDs of obj_mac.h. */
export const NID_P256 = 415;
export const NID_P384 = 715;
export const NID_P521 = 716;

/**
 * Makes an error, and empties OpenSSL's error queue. That is Node's too, and what we caused must
 * not surface in a later call of node:crypto.
 */
export function opensslFailure(openssl: Openssl, what: string): Error {
  openssl.ERR_clear_error();
  return new Error(`OpenSSL could not ${what}`);
}
