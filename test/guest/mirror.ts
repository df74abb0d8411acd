import { must } from "../../script/program.ts";

/**
 * The Debian mirror that this machine's own apt takes its packages from, so that the guests' trees come from where the
 * administrator says. @throws Error where apt knows none
 */
export async function debianMirror(): Promise<string> {
  const targets = await must([
    "apt-get",
    "indextargets",
    "--format",
    "$(SITE) $(RELEASE)",
    "Created-By: Packages",
    "Origin: Debian",
    "Label: Debian",
  ]);
  // "bookworm", not "bookworm-updates": the archive proper has every release's suite.
  const line = targets.split("\n").find((text) => /^\S+ [a-z]+$/.test(text));
  const site = line?.split(" ")[0];
  if (site === undefined) throw new Error("this machine's apt has no Debian archive configured (apt-get indextargets)");
  return site;
}
