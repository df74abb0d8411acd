/**
 * Every way in which Nightlatch fails, by a code that stays the same between releases. A code names
 * the area and the cause. `docs/errors.md` lists them for users; a test holds both lists to each
 * other.
 */
export const ERROR_CODES = [
  // usage and system
  "usage/wrong",
  "usage/no-terminal",
  "usage/cancelled",
  "system/missing-program",
  "system/timeout",
  "system/output-too-large",
  "system/busy",
  "file/missing",
  "file/denied",
  "file/too-large",
  "file/wrong-kind",
  "file/io",
  "file/full",
  "net/unreachable",
  "net/timeout",
  "net/too-large",
  // formats
  "json/malformed",
  "json/too-large",
  "json/duplicate-key",
  // boot and reboot
  "cpio/malformed",
  "initramfs/malformed",
  "crypttab/malformed",
  "grub/malformed",
  "grub/unknown",
  "bls/malformed",
  "extlinux/malformed",
  "uki/malformed",
  "boot/unsupported",
  "boot/ambiguous",
  "boot/no-entry",
  "boot/not-mounted",
  "boot/no-cryptsetup",
  "setup/unsupported",
  "setup/failed",
  "setup/not-proved",
  "kexec/unavailable",
  "kexec/failed",
  "oneshot/unavailable",
  "oneshot/failed",
  "oneshot/malformed",
  "oneshot/left-over",
  "disposable/malformed",
  "reboot/blocked",
  "reboot/not-now",
  "reboot/wrong-key",
  "reboot/slots-full",
  "reboot/not-proved",
  "reboot/no-way",
  "reboot/no-lease",
  "reboot/left-over",
  "jwk/malformed",
  "jwk/unsupported",
  "jwk/off-curve",
  "jws/malformed",
  "jws/unsupported",
  "jws/wrong-signature",
  "jwe/malformed",
  "jwe/unsupported",
  "jwe/wrong-key",
  "tang/malformed",
  "tang/untrusted",
  "tang/forbidden-use",
  "clevis/malformed",
  "invite/malformed",
  "enrolment/malformed",
  "enrolment/untrusted",
  // a machine and its server: the codes of refusals on the wire, and what the machine makes of them
  "enrolment/refused",
  "invite/unknown",
  "invite/used",
  "invite/expired",
  "invite/other-machine",
  "machine/locked",
  "machine/revoked",
  "machine/unknown",
  "machine/full",
  "machine/not-enrolled",
  "machine/bad-state",
  "latch/revoked",
  "tether/off",
  "tether/not-suspended",
  "receipt/not-proved",
  "receipt/went-back",
  "receipt/not-cosigned",
  // pins
  "pin/unsupported",
  "pin/locked",
  "pin/revoked",
  "pin/unknown-key",
  "pin/busy",
  "pin/bad-reply",
  "pin/wrong-key",
  "pin/wrong-shares",
  "pin/needs-person",
  // the machine's TPM
  "tpm2/no-chip",
  "tpm2/silent",
  "tpm2/busy",
  "tpm2/malformed",
  "tpm2/unsupported",
  "tpm2/refused",
  "tpm2/wrong-state",
  "tpm2/other-chip",
  "tpm2/wrong-pin",
  "tpm2/few-tries",
  "tpm2/lockout",
  // cards and HSMs
  "pkcs11/malformed",
  "card/no-driver",
  "card/driver-crashed",
  "card/driver-hangs",
  "card/absent",
  "card/ambiguous",
  "card/no-key",
  "card/pin-needed",
  "card/wrong-pin",
  "card/few-tries",
  "card/locked",
  "card/unsupported",
  "card/failed",
  // luks
  "luks/none",
  "luks/damaged",
  "luks/unsupported",
  "luks/null-cipher",
  "luks/requirements",
  "luks/unknown-intent",
  "luks/wrong-passphrase",
  "luks/no-keyslot",
  "luks/no-token-slot",
  "luks/last-way",
  "luks/other-volume",
  "luks/not-recorded",
  "luks/not-bound",
  "luks/no-recovery",
  "luks/not-proved",
  "luks/harmed",
  "luks/refused",
  "luks/no-memory",
  "luks/no-device",
  "luks/in-use",
  "luks/tool-died",
  // the agent and its configuration
  "agent/bad-config",
  "agent/exposed",
  "agent/socket",
  "agent/unknown-volume",
  "agent/no-binding",
  "agent/deadline",
  "agent/abandoned",
  "agent/command-failed",
  "agent/command-refused",
  // server
  "serve/listen",
  "store/missing",
  "store/not-empty",
  "store/other",
  "store/rolled-back",
  "store/newer",
  "store/older",
  "store/damaged",
  "store/master-key",
  "store/cells",
  "store/not-sealed",
  "store/permissions",
  "store/busy",
  "store/closed",
  "store/full",
  "store/io",
  "admin/socket",
  "admin/denied",
  "admin/unreachable",
  "admin/unknown-request",
  "request/malformed",
  "lease/not-needed",
  "lease/bad-time",
  "lease/needs-approval",
  "policy/bad-terms",
  "group/unknown",
  "group/in-use",
  "group/bad-name",
  "site/not-held",
  "site/bad-rate",
  "request/unknown",
  "request/denied",
  "alive/not-heard",
  "alive/bad-time",
  "webhook/key",
  "webhook/lost",
  "machine/bad-name",
  "machine/exists",
  "invite/bad-lifetime",
  "latch/unknown",
  "audit/broken",
  "witness/bad-key",
  "witness/too-many",
  "witness/unknown",
  "witness/refused",
  "witness/inconsistent",
] as const;

/** One of the codes. */
export type ErrorCode = (typeof ERROR_CODES)[number];

/** What a person needs beside what happened: what it means for the disk, and what to do. */
interface Guidance {
  /** What the failure means for the volume or the store, e.g. "The volume was not changed." */
  readonly meaning?: string;
  /** What to do next, an imperative sentence. */
  readonly remedy?: string;
  readonly cause?: unknown;
}

/** The one error type that leaves a module on purpose. `message` never holds key material. */
export class NightlatchError extends Error {
  readonly code: ErrorCode;
  readonly meaning: string | undefined;
  readonly remedy: string | undefined;

  constructor(code: ErrorCode, message: string, guidance: Guidance = {}) {
    super(message, guidance.cause === undefined ? undefined : { cause: guidance.cause });
    this.name = "NightlatchError";
    this.code = code;
    this.meaning = guidance.meaning;
    this.remedy = guidance.remedy;
  }
}

/**
 * Tells whether something that was thrown is a NightlatchError, of that code where one is given.
 */
export function isError(error: unknown, code?: ErrorCode): error is NightlatchError {
  return error instanceof NightlatchError && (code === undefined || error.code === code);
}
