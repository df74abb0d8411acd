// @ts-nocheck
import { NightlatchError } from "../../core/errors.ts";

/** TPM_RC, part 2 section 6.6.3. Of a code of format 1 without what it is about. */
const RC = {
  initialize: 0x100,
  failure: 0x101,
  retry: 0x922,
  yielded: 0x908,
  canceled: 0x909,
  testing: 0x90a,
  memory: [0x902, 0x903, 0x904, 0x905, 0x906],
  authFail: 0x8e,
  badAuth: 0xa2,
  policyFail: 0x9d,
  integrity: 0x9f,
  lockout: 0x921,
  unsupported: [0x81, 0x82, 0x83, 0x84, 0x89, 0x8a, 0x92, 0x96, 0xa6],
} as const;

const PASSPHRASE = "Its passphrase opens the volume as before.";

/** Of a chip that counts wrong attempts, once it takes no more, or one more would lock it. */
export const LOCKOUT_REMEDY =
  "Wait: the chip takes one attempt off its count after a while, how many seconds tpm2_getcap properties-variable " +
  "tells (TPM2_PT_LOCKOUT_INTERVAL). Or take all off at once: tpm2_dictionarylockout --clear-lockout.";

/** A code of format 1 says which parameter, handle or session it is about; that is taken off. */
const baseOf = (code: number): number => ((code & 0x80) === 0 ? code & 0xfff : code & 0xbf);

/** Tells whether the same command, sent again, may be answered (part 2 section 6.6.4). */
export function wantsAgain(code: number): boolean {
  return [RC.retry, RC.yielded, RC.canceled, RC.testing].some((passing) => passing === baseOf(code));
}

/**
 * Makes the error for a command that the chip refuses.
 * @param command as the specification names it, e.g. `Unseal`
 */
export function chipRefusal(code: number, command: string): NightlatchError {
  const base = baseOf(code);
  const said = `TPM2_${command} gave 0x${code.toString(16).padStart(3, "0")}`;
  const meaning = `The volume itself is unchanged. ${PASSPHRASE}`;
  const error = (name: NightlatchError["code"], text: string, remedy: string) =>
    new NightlatchError(name, `${text} (${said})`, { meaning, remedy });
  if (base === RC.policyFail)
    return error(
      "tpm2/wrong-state",
      "the machine's TPM does not unseal the key: the machine was started in another state than the key was sealed to",
      "After an update that you made: nightlatch bind DEV tpm2 pcr=LIST --replace --slot N. Else find out what was changed.",
    );
  if (base === RC.integrity)
    return error(
      "tpm2/other-chip",
      "the key was sealed by another TPM, or this one was cleared since",
      "In the machine that it was sealed in, and if its TPM was cleared on purpose, bind it anew with --replace --slot N.",
    );
  if (base === RC.lockout)
    return error("tpm2/lockout", "the machine's TPM is locked after wrong attempts", LOCKOUT_REMEDY);
  if (base === RC.authFail && command === "Unseal")
    return new NightlatchError("tpm2/wrong-pin", `the PIN is wrong (${said})`, {
      meaning: `The machine's TPM has counted one attempt. It is not tried again by itself. ${PASSPHRASE}`,
      remedy: "Give the right PIN. If it is forgotten, bind anew by the passphrase, with --replace --slot N.",
    });
  if (base === RC.authFail || base === RC.badAuth)
    return error(
      "tpm2/refused",
      "the machine's TPM wants a password that Nightlatch does not have",
      "Its owner hierarchy has one, which clevis cannot give either: tpm2_changeauth -c owner -p OLD takes it off.",
    );
  if (wantsAgain(code) || RC.memory.some((full) => full === base))
    return error("tpm2/busy", "the machine's TPM is busy, or its memory is full", "Try again.");
  if (RC.unsupported.some((unknown) => unknown === base))
    return error(
      "tpm2/unsupported",
      "the machine's TPM does not do what the binding asks for",
      "Bind with key=ecc and bank=sha256, which every TPM 2.0 has.",
    );
  return error("tpm2/refused", "the machine's TPM refuses", "See what it says: journalctl -k -g tpm");
}
