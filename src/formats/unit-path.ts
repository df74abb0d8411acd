/** A path as systemd compares it: no slash twice or at the end, no `.` in between (path_simplify). */
export function simplifyPath(path: string): string {
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  return `${path.startsWith("/") ? "/" : ""}${parts.join("/")}`;
}

/** The path and all that it lies beneath, the root first; empty where it is not absolute. */
export function prefixesOf(path: string): string[] {
  if (!path.startsWith("/")) return [];
  const parts = simplifyPath(path).split("/").filter(Boolean);
  return ["/", ...parts.map((_, index) => `/${parts.slice(0, index + 1).join("/")}`)];
}
