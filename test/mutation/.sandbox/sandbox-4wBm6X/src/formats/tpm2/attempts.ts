// @ts-nocheck
import { refuseAnswer, type TpmCommand } from "./command.ts";
import { u32 } from "./wire.ts";

/** How a chip stands that counts wrong authorization values: part 1 section 19.8. */
export interface Attempts {
  /** Wrong attempts that it holds against whoever tries. */
  readonly failed: number;
  /** With as many it is locked. */
  readonly limit: number;
  /** After so many seconds it takes one off. */
  readonly intervalSeconds: number;
}

const CAP_TPM_PROPERTIES = 6;
/** TPM_PT_LOCKOUT_COUNTER, TPM_PT_MAX_AUTH_FAIL, TPM_PT_LOCKOUT_INTERVAL (part 2 section 6.13). */
const PROPERTIES = [0x20e, 0x20f, 0x210];

/** Reads the count of wrong attempts (GetCapability, part 3 section 30.2). It costs none. */
export function readAttempts(): TpmCommand<Attempts> {
  return {
    name: "GetCapability",
    code: 0x17a,
    handles: [],
    parameters: Buffer.concat([CAP_TPM_PROPERTIES, PROPERTIES[0] ?? 0, PROPERTIES.length].map(u32)),
    givesHandle: false,
    read: (reader) => {
      reader.u8(); // whether there are more properties
      if (reader.u32() !== CAP_TPM_PROPERTIES) refuseAnswer("it tells of something that was not asked for");
      if (reader.u32() !== PROPERTIES.length) refuseAnswer("it gives another number of properties than was asked for");
      const [failed = 0, limit = 0, intervalSeconds = 0] = PROPERTIES.map((asked) => {
        if (reader.u32() !== asked) refuseAnswer("it tells of a property that was not asked for");
        return reader.u32();
      });
      return { failed, limit, intervalSeconds };
    },
  };
}
