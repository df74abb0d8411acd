/** What a unit of systemd needs, as far as a line of crypttab or fstab says it. */
// @ts-nocheck

export interface UnitNeeds {
  readonly devices: readonly string[];
  /** RequiresMountsFor=: the mount of each, and of all that it lies beneath. */
  readonly paths: readonly string[];
  /** Names of units, and paths that stand for one. */
  readonly units: readonly string[];
}

/**
 * Writes a path as systemd compares it (path_simplify): no slash twice or at the end, no `.` in
 * between.
 */
export function simplifyPath(path: string): string {
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  return `${path.startsWith("/") ? "/" : ""}${parts.join("/")}`;
}

/** PATH_MAX of linux/limits.h: systemd takes no longer ones. */
const PATH_LIMIT = 4096;

/**
 * Lists the path and all that it lies beneath, the root first. Empty where it is not absolute, or
 * too long.
 */
export function prefixesOf(path: string): string[] {
  if (!path.startsWith("/") || path.length > PATH_LIMIT) return [];
  const parts = simplifyPath(path).split("/").filter(Boolean);
  return ["/", ...parts.map((_, index) => `/${parts.slice(0, index + 1).join("/")}`)];
}

/** Names the path that another lies beneath. Null of the root. */
export function parentOf(path: string): string | null {
  return prefixesOf(path).at(-2) ?? null;
}

/** Unescapes a unit's name as systemd-escape(1) --unescape does. */
export function unescapeUnit(name: string): string {
  const bytes = Buffer.from(name).toString("latin1").replaceAll("-", "/");
  const plain = bytes.replaceAll(/\\x([0-9a-f]{2})/gi, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return Buffer.from(plain, "latin1").toString("utf8");
}
