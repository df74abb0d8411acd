/** Something that will not go well at the next boot, and how to mend it. */
export interface Finding {
  /** Stays the same between releases: docs/check.md lists all. */
  readonly code: FindingCode;
  readonly severity: Severity;
  /** The volume, unit or file that it is about. */
  readonly subject: string;
  /** What was found. */
  readonly message: string;
  /** What it means for the next boot. */
  readonly effect: string;
  /** The command or the line that mends it. */
  readonly remedy: string;
}

/** `error`: a volume stays shut, or the boot hangs. `warning`: it can come to that. `note`: worth knowing. */
export type Severity = "error" | "warning" | "note";

export const FINDING_CODES = [
  "crypttab/ignored-line",
  "volume/unreadable",
  "volume/no-netdev",
  "volume/no-nofail",
  "volume/keyfile-option",
  "volume/headless",
  "volume/token-device",
  "volume/initramfs",
  "volume/no-binding",
  "volume/binding-unused",
  "volume/no-key",
  "volume/no-passphrase",
  "volume/leftovers",
  "volume/header",
  "fstab/no-netdev",
  "fstab/no-nofail",
  "fstab/timeout",
  "binding/unreachable",
  "binding/locked",
  "binding/refused",
  "binding/does-not-open",
  "binding/not-tried",
  "agent/bad-config",
  "agent/config-permissions",
  "agent/unknown-volume",
  "agent/no-program",
  "agent/socket-disabled",
  "agent/socket-inactive",
  "agent/socket-permissions",
  "state/permissions",
  "unit/ordering-cycle",
  "unit/default-dependencies",
  "unit/waits-for-network",
  "unit/unchecked",
] as const;

export type FindingCode = (typeof FINDING_CODES)[number];

const ORDER: readonly Severity[] = ["error", "warning", "note"];

/** The worst first; otherwise as they were found. */
export function bySeverity(findings: readonly Finding[]): Finding[] {
  return findings.toSorted((one, other) => ORDER.indexOf(one.severity) - ORDER.indexOf(other.severity));
}
