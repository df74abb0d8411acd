// @ts-nocheck
import { SMALL_PROGRAM_MS } from "../../core/deadlines.ts";
import { isError } from "../../core/errors.ts";
import type { System } from "../../system/port.ts";

/** What a unit that the generator made would call. */
export interface PlannedAttach {
  readonly name: string;
  /** "" where there is none. */
  readonly key: string;
  readonly options: readonly string[];
}

const GENERATOR = "/usr/lib/systemd/system-generators/systemd-cryptsetup-generator";

/** env(1) about the program that it was to run. */
const NOT_RUNNABLE = 126;
const NOT_FOUND = 127;

/**
 * Asks systemd's own generator what it would open in an initramfs with this crypttab and this
 * command line (systemd-cryptsetup-generator(8)). It is the running system's, which an initramfs is
 * made of. Null where this system has none.
 * @throws NightlatchError system/*
 */
export async function askGenerator(
  system: Pick<System, "run">,
  crypttab: string,
  cmdline: string,
): Promise<PlannedAttach[] | null> {
  // Not /tmp, which a shutdown may have unmounted.
  const made = await system.run({ argv: ["mktemp", "-d", "-p", "/run"], timeoutMs: SMALL_PROGRAM_MS });
  const folder = made.stdout.toString("utf8").trim();
  if (made.status !== 0 || folder === "") return null;
  try {
    const told = await system.run({
      argv: [
        "env",
        "SYSTEMD_IN_INITRD=1",
        "SYSTEMD_CRYPTTAB=/dev/stdin",
        `SYSTEMD_PROC_CMDLINE=${cmdline}`,
        GENERATOR,
        folder,
        folder,
        folder,
      ],
      stdin: Buffer.from(crypttab),
      opensStdin: true,
      timeoutMs: SMALL_PROGRAM_MS,
    });
    // It fails as well where it could not make one unit of several: what it did make is what a boot
    // has.
    if (told.status === NOT_RUNNABLE || told.status === NOT_FOUND) return null;
    const argv = ["grep", "-rhs", "^ExecStart=.*cryptsetup attach ", folder] as const;
    const { stdout } = await system.run({ argv, timeoutMs: SMALL_PROGRAM_MS });
    return stdout
      .toString("utf8")
      .split("\n")
      .filter((line) => line !== "")
      .map(parseExecStart);
  } catch (error) {
    if (isError(error, "system/missing-program")) return null;
    throw error;
  } finally {
    await system.run({ argv: ["rm", "-rf", "--", folder], timeoutMs: SMALL_PROGRAM_MS });
  }
}

/**
 * `attach 'NAME' 'SOURCE' 'KEY' 'OPTIONS'`, where % is doubled (systemd.unit(5)). What reads
 * otherwise is no volume's.
 */
function parseExecStart(line: string): PlannedAttach {
  const [, name = "", key = "", options = ""] = /attach '([^']*)' '[^']*' '([^']*)' '([^']*)'$/.exec(line) ?? [];
  const plain = (text: string) => text.replaceAll("%%", "%");
  return {
    name: plain(name),
    key: plain(key),
    options: plain(options)
      .split(",")
      .filter((option) => option !== ""),
  };
}
