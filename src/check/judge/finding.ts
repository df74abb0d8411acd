/**
 * Every finding that there is. `docs/check.md` lists them for users; a test holds that the remedy
 * of each was applied.
 */
export const FINDING_CODES = [
  // crypttab, fstab, agent.toml
  "check/crypttab",
  "check/config",
  "check/exposed",
  "check/identity",
  "check/unknown-volume",
  "check/no-netdev",
  "check/no-nofail",
  "check/mount-no-netdev",
  "check/mount-no-nofail",
  "check/mount-timeout",
  "check/root-netdev",
  "check/nobody-starts",
  "check/token-device",
  "check/key-cut",
  "check/key-slot",
  "check/headless",
  "check/no-key",
  "check/not-asked",
  // units
  "check/agent-unit",
  "check/no-socket",
  "check/socket-mode",
  "check/cycle",
  "check/unit-cycle",
  "check/unit-late",
  "check/responder-waits",
  "check/tether",
  "check/heartbeat",
  "check/witness",
  // the initramfs
  "check/initramfs",
  "check/initramfs-missing",
  "check/initramfs-unknown",
  "check/initramfs-stack",
  "check/initramfs-clevis",
  "check/initramfs-network",
  "check/initramfs-driver",
  "check/initramfs-certificates",
  "check/initramfs-name",
  "check/initramfs-deadline",
  // the volume
  "check/no-device",
  "check/unreadable",
  "check/no-binding",
  "check/no-command",
  "check/binding",
  "check/binding-untried",
  "check/rotated",
  "check/tpm-state",
  "check/tpm-update",
  "check/tpm-moving",
  "check/no-passphrase",
  "check/leftover",
  "check/header",
] as const;

/** One of the codes of docs/check.md. */
export type FindingCode = (typeof FINDING_CODES)[number];

/** Something that would go wrong at the next boot, or may. */
export interface Finding {
  /** Stays the same between releases. */
  readonly code: FindingCode;
  /**
   * `error`: a volume does not open by itself, or the boot stops. `warning`: it goes well as long
   * as nothing else goes wrong.
   */
  readonly severity: "error" | "warning";
  /** A volume of crypttab, a unit, a file. */
  readonly subject: string;
  /** What would happen. */
  readonly text: string;
  /**
   * What mends it, a step a line, in order: a command, `line N of FILE: ` with what is to stand
   * there, or what a person has to do.
   */
  readonly remedy: string;
}

type Make = (code: FindingCode, text: string, remedy: string) => Finding;

/** Makes findings about one subject. */
export function findingsOf(subject: string): { readonly error: Make; readonly warning: Make } {
  const make =
    (severity: Finding["severity"]): Make =>
    (code, text, remedy) => ({ code, severity, subject, text, remedy });
  return { error: make("error"), warning: make("warning") };
}
