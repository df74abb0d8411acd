// @ts-nocheck
import { NightlatchError } from "../../../src/core/errors.ts";
import type { System } from "../../../src/system/port.ts";

/** A machine without a TPM. */
export const noTpm: System["openTpm"] = async () => {
  throw new NightlatchError("tpm2/no-chip", "the machine has no TPM 2.0 that can be reached (a test)");
};
