/**
 * A suite that moves (Debian testing): what it holds today, as an input of what is made from it,
 * and a failure that is its own. docs/decisions/089-a-suite-that-moves.md
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { must } from "../../../script/program.ts";
import { cacheRoot, lock } from "./cache.ts";
import { debianMirror } from "./mirror.ts";
import { KERNEL, moves, RELEASES, type Suite } from "./recipe.ts";

/**
 * What decides how a guest boots and what our package runs on: a tree is made anew once one of
 * these has another version.
 */
const DECIDING = [
  "base-files",
  "libc6",
  "systemd",
  KERNEL,
  "cryptsetup",
  "clevis",
  "initramfs-tools",
  "dracut",
  "kexec-tools",
  "grub-common",
] as const;

/** The suite is broken by itself: nothing of ours had a part in what failed. */
export class SuiteFault extends Error {
  constructor(suite: Suite, cause: unknown) {
    const said = cause instanceof Error ? cause.message : String(cause);
    super(`${RELEASES[suite]} itself: ${said}`, { cause });
    this.name = "SuiteFault";
  }
}

/**
 * apt's word that a name of ours is none of the suite's: our recipe, or our package's Depends, is
 * out of date.
 */
const UNKNOWN_NAME = /Unable to locate package|has no installation candidate/;

/**
 * Work in which nothing of ours has a part: where the suite moves, its failure is the suite's.
 * @throws SuiteFault
 */
export async function blamed<T>(suite: Suite, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!moves(suite) || UNKNOWN_NAME.test(String(error))) throw error;
    throw new SuiteFault(suite, error);
  }
}

const states = new Map<Suite, Promise<string>>();

/**
 * One line a deciding package and version, empty for a suite that stands still. Asked once a
 * process, so that all that one test makes is of one state.
 * @throws SuiteFault where the archive does not tell
 */
export async function stateOf(suite: Suite): Promise<string> {
  if (!moves(suite)) return "";
  const known = states.get(suite) ?? blamed(suite, () => askArchive(suite));
  states.set(suite, known);
  return await known;
}

/**
 * By apt, with lists of its own: it checks the archive's signature, and fetches nothing where
 * nothing has changed.
 */
async function askArchive(suite: Suite): Promise<string> {
  const mirror = debianMirror();
  if (mirror === null) throw new Error("this machine's apt has no Debian archive configured");
  const folder = join(cacheRoot(), "apt", suite);
  for (const part of ["state/lists/partial", "cache/archives/partial"])
    mkdirSync(join(folder, part), { recursive: true, mode: 0o755 });
  await using _lock = await lock("apt.lock");
  writeFileSync(join(folder, "status"), "");
  writeFileSync(join(folder, "sources.list"), `deb [signed-by=${KEYRING}] ${mirror} ${suite} main\n`);
  const settings = {
    "Dir::State": join(folder, "state"),
    "Dir::State::status": join(folder, "status"),
    "Dir::Cache": join(folder, "cache"),
    "Dir::Etc::sourcelist": join(folder, "sources.list"),
    "Dir::Etc::sourceparts": "/dev/null",
    "APT::Sandbox::User": "root", // the cache is root's alone
  };
  const options = Object.entries(settings).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
  await must(["apt-get", ...options, "update", "-qq", "--error-on=any"], 300_000);
  const said = await must(["apt-cache", ...options, "show", "--no-all-versions", ...DECIDING], 60_000);
  const versions = [...said.matchAll(/^(?:Package|Version): (.*)$/gm)].map(([, word]) => word);
  return versions.join("\n");
}

const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";
