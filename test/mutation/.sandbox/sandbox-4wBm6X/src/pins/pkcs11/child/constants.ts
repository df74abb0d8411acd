/* Numbers of PKCS#11 2.40 (pkcs11t.h). */
// @ts-nocheck


/** Return values. */
export const CKR = {
  OK: 0x00,
  ARGUMENTS_BAD: 0x07,
  ATTRIBUTE_SENSITIVE: 0x11,
  ATTRIBUTE_TYPE_INVALID: 0x12,
  DEVICE_REMOVED: 0x32,
  ENCRYPTED_DATA_INVALID: 0x40,
  ENCRYPTED_DATA_LEN_RANGE: 0x41,
  FUNCTION_NOT_SUPPORTED: 0x54,
  KEY_SIZE_RANGE: 0x62,
  KEY_TYPE_INCONSISTENT: 0x63,
  KEY_FUNCTION_NOT_PERMITTED: 0x68,
  MECHANISM_INVALID: 0x70,
  MECHANISM_PARAM_INVALID: 0x71,
  PIN_INCORRECT: 0xa0,
  PIN_INVALID: 0xa1,
  PIN_LEN_RANGE: 0xa2,
  PIN_LOCKED: 0xa4,
  TOKEN_NOT_PRESENT: 0xe0,
  TOKEN_NOT_RECOGNIZED: 0xe1,
  USER_ALREADY_LOGGED_IN: 0x100,
  CRYPTOKI_ALREADY_INITIALIZED: 0x191,
} as const;

/** Flags of C_Initialize, of a session and of a token. */
export const CKF = {
  OS_LOCKING_OK: 0x02,
  SERIAL_SESSION: 0x04,
  LOGIN_REQUIRED: 0x04,
  PROTECTED_AUTHENTICATION_PATH: 0x100,
  TOKEN_INITIALIZED: 0x400,
  USER_PIN_COUNT_LOW: 0x1_0000,
  USER_PIN_FINAL_TRY: 0x2_0000,
  USER_PIN_LOCKED: 0x4_0000,
} as const;

/** Who logs in. */
export const CKU = { USER: 1, CONTEXT_SPECIFIC: 2 } as const;
/** Kinds of objects. */
export const CKO = { PUBLIC_KEY: 2, PRIVATE_KEY: 3, SECRET_KEY: 4 } as const;
/** Kinds of keys. */
export const CKK = { RSA: 0, EC: 3, GENERIC_SECRET: 0x10 } as const;

/** Attributes of an object. */
export const CKA = {
  CLASS: 0x00,
  TOKEN: 0x01,
  LABEL: 0x03,
  VALUE: 0x11,
  KEY_TYPE: 0x100,
  ID: 0x102,
  SENSITIVE: 0x103,
  MODULUS: 0x120,
  PUBLIC_EXPONENT: 0x122,
  VALUE_LEN: 0x161,
  EXTRACTABLE: 0x162,
  EC_PARAMS: 0x180,
  EC_POINT: 0x181,
  ALWAYS_AUTHENTICATE: 0x202,
} as const;

/** Mechanisms, hashes among them. */
export const CKM = { RSA_PKCS: 0x01, RSA_PKCS_OAEP: 0x09, SHA_1: 0x220, SHA256: 0x250, ECDH1_DERIVE: 0x1050 } as const;
/** Functions that make a mask for OAEP. */
export const CKG = { MGF1_SHA1: 1, MGF1_SHA256: 2 } as const;
/** CKZ_DATA_SPECIFIED */
export const OAEP_SOURCE = 1;
/** CKD_NULL: the shared secret as it is. */
export const NO_KDF = 1;
