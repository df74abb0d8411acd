// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";

/** A chip, as it is reached. It settles by the limits that it was opened with. */
export interface TpmLine extends AsyncDisposable {
  /** @throws NightlatchError tpm2/silent, tpm2/no-chip, tpm2/malformed */
  exchange(command: Uint8Array): Promise<Buffer>;
}

/** The error of a chip that does not answer by the end of its time. */
export function silent(what: string): NightlatchError {
  return new NightlatchError("tpm2/silent", `the machine's TPM does not answer in time (${what})`, {
    meaning: "The volume itself is unchanged, and its passphrase opens it.",
    remedy: "Try again; see what the kernel says of it: journalctl -k -g tpm",
  });
}

/** The error of a chip that is not there. */
export function noChip(what: string): NightlatchError {
  return new NightlatchError("tpm2/no-chip", `the machine has no TPM 2.0 that can be reached (${what})`, {
    meaning: "The volume itself is unchanged, and its passphrase opens it.",
    remedy: "Switch the TPM on in the firmware's settings; ls /dev/tpmrm0 shows whether the kernel has one.",
  });
}
