import { spawnSync } from "node:child_process";

/**
 * The Debian archive that this machine's own apt takes its packages from, so that the guests' trees come from where the
 * administrator says; null where apt knows none.
 */
export function debianMirror(): string | null {
  const filters = ["Created-By: Packages", "Origin: Debian", "Label: Debian"];
  const argv = ["indextargets", "--format", "$(SITE) $(RELEASE)", ...filters];
  const { stdout } = spawnSync("apt-get", argv, { encoding: "utf8", env: { LC_ALL: "C", PATH: "/usr/bin:/bin" } });
  // "bookworm", not "bookworm-updates": the archive proper has every release's suite.
  const line = (stdout ?? "").split("\n").find((text) => /^\S+ [a-z]+$/.test(text));
  return line?.split(" ")[0] ?? null;
}
