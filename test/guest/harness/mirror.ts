import { spawnSync } from "node:child_process";

/**
 * The Debian archive that this machine's own apt takes its packages from, so that the guests' trees
 * come from where the administrator says; null where apt knows none.
 */
export function debianMirror(): string | null {
  const filters = ["Created-By: Packages", "Origin: Debian", "Label: Debian"];
  const argv = ["indextargets", "--format", "$(SITE) $(RELEASE)", ...filters];
  // "bookworm", not "bookworm-updates": the archive proper has every release's suite.
  const line = ask("apt-get", argv)
    .split("\n")
    .find((text) => /^\S+ [a-z]+$/.test(text));
  return line?.split(" ")[0] ?? null;
}

/**
 * Words for a guest's own apt-get: that archive may be a mirror that has stood still for longer
 * than a suite's list is good for, and the administrator has said that this will do.
 */
export function validityOptions(): string {
  const said = ask("apt-config", ["shell", "CHECKS", "Acquire::Check-Valid-Until/b"]);
  return said.includes("false") ? "-o Acquire::Check-Valid-Until=false" : "";
}

function ask(program: string, args: readonly string[]): string {
  const env = { LC_ALL: "C", PATH: "/usr/bin:/bin" };
  return spawnSync(program, args, { encoding: "utf8", env }).stdout ?? "";
}
