/** Something that would go wrong at the next boot, or may. */
export interface Finding {
  /** Stays the same between releases. */
  readonly code: string;
  /** `error`: a volume does not open by itself, or the boot stops. `warning`: it goes well as long as nothing else goes wrong. */
  readonly severity: "error" | "warning";
  /** A volume of crypttab, a unit, a file. */
  readonly subject: string;
  /** What would happen. */
  readonly text: string;
  /** The command or edit that mends it. */
  readonly remedy: string;
}
