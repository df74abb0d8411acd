/**
 * The files in a machine's state folder that say what a server's log had come to:
 * docs/format/receipt.md, "What is kept".
 */

const REFUSED = /^log-([\w-]{43})\.went-back$/;

/** The checkpoint that a server is held to. @param thumbprint of the server's identity */
export function logNoteName(thumbprint: string): string {
  return `log-${thumbprint}.note`;
}

/** The checkpoint of a log that is not the one which was seen before. */
export function wentBackName(thumbprint: string): string {
  return `log-${thumbprint}.went-back`;
}

/** Thumbprints of the servers that are refused, by the names of the folder's files. */
export function refusedIn(names: readonly string[]): ReadonlySet<string> {
  return new Set(names.flatMap((name) => REFUSED.exec(name)?.[1] ?? []));
}
