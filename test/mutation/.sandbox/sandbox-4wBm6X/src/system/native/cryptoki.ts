// @ts-nocheck
import { loadLibrary, type NativeFunction, pointerTo } from "./native.ts";

/** A handle or a number of PKCS#11, as koffi gives an unsigned long. */
type Ulong = number | bigint;

/**
 * The functions that we call, with their places in CK_FUNCTION_LIST (PKCS#11 2.40, section 5). A
 * module has to export but one function, which gives that list.
 */
const FUNCTIONS = {
  C_Initialize: [0, "void *arguments"],
  C_GetSlotList: [4, "uchar present, void *list, void *count"],
  C_GetTokenInfo: [6, "ulong slot, void *info"],
  C_GetMechanismInfo: [8, "ulong slot, ulong mechanism, void *info"],
  C_OpenSession: [12, "ulong slot, ulong flags, void *application, void *notify, void *session"],
  C_Login: [18, "ulong session, ulong user, void *pin, ulong length"],
  C_Logout: [19, "ulong session"],
  C_GetAttributeValue: [24, "ulong session, ulong object, void *template, ulong count"],
  C_FindObjectsInit: [26, "ulong session, void *template, ulong count"],
  C_FindObjects: [27, "ulong session, void *objects, ulong limit, void *count"],
  C_FindObjectsFinal: [28, "ulong session"],
  C_DecryptInit: [33, "ulong session, void *mechanism, ulong key"],
  C_Decrypt: [34, "ulong session, void *input, ulong length, void *output, void *count"],
  C_DeriveKey: [62, "ulong session, void *mechanism, ulong key, void *template, ulong count, void *derived"],
} as const;

/** The name of a function of PKCS#11. */
export type CryptokiName = keyof typeof FUNCTIONS;

/** Behind CK_VERSION, which the first pointer's alignment pads. */
const LIST_OFFSET = 8;
const POINTER_BYTES = 8;

/** A PKCS#11 module. A driver's code runs in this process, which it may end or hang. */
export interface Cryptoki {
  /** Calls a function. @returns its return value, a CKR_ */
  call(name: CryptokiName, ...args: readonly (Ulong | Uint8Array | null)[]): number;
  /** The address of bytes, for a structure that points to them. */
  pointerTo(bytes: Uint8Array): bigint;
}

/**
 * Loads a PKCS#11 module.
 * @throws Error where it is no library, or gives no list of functions
 */
export function loadCryptoki(path: string): Cryptoki {
  const library = loadLibrary(path);
  const given = Buffer.alloc(POINTER_BYTES);
  if (Number(library.func("ulong C_GetFunctionList(void *)")(given)) !== 0) throw new Error("no list of functions");
  const list = given.readBigUInt64LE(0);
  if (list === 0n) throw new Error("no list of functions");
  const found = new Map<CryptokiName, NativeFunction>();
  return {
    call(name, ...args) {
      let native = found.get(name);
      if (native === undefined) {
        const [place, parameters] = FUNCTIONS[name];
        const address = library.pointerAt(list + BigInt(LIST_OFFSET + place * POINTER_BYTES));
        if (address === 0n) return FUNCTION_NOT_SUPPORTED;
        native = library.functionAt(address, `ulong ${name}(${parameters})`);
        found.set(name, native);
      }
      return Number(native(...args));
    },
    pointerTo,
  };
}

/** CKR_FUNCTION_NOT_SUPPORTED */
const FUNCTION_NOT_SUPPORTED = 0x54;
