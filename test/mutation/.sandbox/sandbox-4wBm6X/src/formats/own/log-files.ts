/**
 * The files in a machine's state folder that say what a server's log had come to:
 * docs/format/receipt.md, "What is kept".
 */
// @ts-nocheck


const REFUSED = /^log-([\w-]{43})\.(went-back|not-cosigned)$/;

/** Why a server is refused. */
export type ServerRefusal = "went-back" | "not-cosigned";

/** The checkpoint that a server is held to. @param thumbprint of the server's identity */
export function logNoteName(thumbprint: string): string {
  return `log-${thumbprint}.note`;
}

/** The checkpoint of a log that is not the one which was seen before. */
export function wentBackName(thumbprint: string): string {
  return `log-${thumbprint}.went-back`;
}

/** An empty file, while a server is refused since its witnesses have not signed its log. */
export function notCosignedName(thumbprint: string): string {
  return `log-${thumbprint}.not-cosigned`;
}

/**
 * The servers that are refused, by their thumbprints, and why, by the names of the folder's files.
 * Of two reasons it is the graver one.
 */
export function refusedIn(names: readonly string[]): ReadonlyMap<string, ServerRefusal> {
  const found = new Map<string, ServerRefusal>();
  for (const name of names) {
    const [, thumbprint, reason] = REFUSED.exec(name) ?? [];
    if (thumbprint !== undefined && found.get(thumbprint) !== "went-back")
      found.set(thumbprint, reason as ServerRefusal);
  }
  return found;
}
