/**
 * systemd's own plan of a boot with other files in /etc, by its test mode: nothing is started. It
 * runs in a copy of this system that sees no mark of a container, for systemd leaves swap and
 * devices out in one.
 */
// @ts-nocheck

import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const SYSTEMD = "/lib/systemd/systemd";

export const noPlan =
  process.getuid?.() !== 0
    ? "a mount namespace needs root"
    : existsSync(SYSTEMD) && existsSync("/usr/lib/systemd/system-generators/systemd-cryptsetup-generator")
      ? false
      : "systemd is not installed";

export interface BootFiles {
  readonly crypttab: string | Buffer;
  readonly fstab: string | Buffer;
  /** Units that a person enabled. */
  readonly enabled?: readonly string[];
  readonly cmdline?: string;
}

export interface BootPlan {
  /** Names of the units that have a job in the boot to multi-user.target. */
  readonly jobs: ReadonlySet<string>;
  /** What each service would run first, by unit: latin1, a character a byte. */
  readonly commands: ReadonlyMap<string, readonly string[]>;
  /**
   * What it says of jobs that it drops to break an ordering cycle: which ones is its own choice.
   */
  readonly cycles: readonly string[];
}

/** @throws Error where systemd makes no plan */
export function planBoot({ crypttab, fstab, enabled = [], cmdline = "quiet" }: BootFiles): BootPlan {
  const folder = mkdtempSync(join(tmpdir(), "nightlatch-plan-"));
  try {
    chmodSync(folder, 0o755);
    mkdirSync(join(folder, "root"));
    writeFileSync(join(folder, "crypttab"), crypttab);
    writeFileSync(join(folder, "fstab"), fstab);
    const wants = "$root/etc/systemd/system/multi-user.target.wants";
    const script = [
      "set -e",
      `folder=${folder}; memory=$folder/root; root=$memory/root`,
      "mount -t tmpfs tmpfs $memory",
      "mkdir $memory/upper $memory/work $root",
      "mount -t overlay overlay -o lowerdir=/,upperdir=$memory/upper,workdir=$memory/work $root",
      "rm -f $root/.dockerenv $root/run/.containerenv",
      "mount --rbind /proc $root/proc; mount --rbind /sys $root/sys; mount --rbind /dev $root/dev",
      "mount -t tmpfs tmpfs $root/run; mkdir -m 777 $root/run/user",
      "cat $folder/crypttab >$root/etc/crypttab; cat $folder/fstab >$root/etc/fstab",
      `chmod 644 $root/etc/crypttab $root/etc/fstab; mkdir -p ${wants}`,
      ...enabled.map((unit) => `ln -sf /lib/systemd/system/${unit} ${wants}/`),
      // As nobody: a system manager in its test mode reads the units and runs the generators, and
      // changes nothing.
      `cd /; exec timeout 120 chroot --userspec=65534:65534 $root ${SYSTEMD} ` +
        "--test --system --unit=multi-user.target --log-level=err --log-target=console --show-status=false",
    ];
    const { status, stdout, stderr } = spawnSync("unshare", ["--mount", "bash", "-c", script.join("\n")], {
      encoding: "latin1",
      // In another locale newer ones write an arrow for `->`.
      env: {
        ...process.env,
        LC_ALL: "C",
        HOME: "/",
        XDG_RUNTIME_DIR: "/run/user",
        SYSTEMD_PROC_CMDLINE: cmdline,
        container: "",
      },
      maxBuffer: 256 << 20,
    });
    if (status !== 0) throw new Error(`systemd made no plan (${status}): ${stderr.slice(0, 2000)}`);
    const cycles = stderr.split("\n").filter((line) => /ordering cycle/.test(line));
    const dump = readDump(stdout);
    if (dump.jobs.size === 0) throw new Error("systemd's plan is written in a way that is not known here");
    return { ...dump, cycles };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** `-> Unit NAME:` and, further in, `-> Job ID:` where it has one. */
function readDump(dump: string): Omit<BootPlan, "cycles"> {
  const jobs = new Set<string>();
  const commands = new Map<string, readonly string[]>();
  let unit: string | undefined;
  for (const line of dump.split("\n")) {
    unit = /^\t-> Unit (\S+):$/.exec(line)?.[1] ?? unit;
    if (unit === undefined) continue;
    if (/^\t\t-> Job \d+/.test(line)) jobs.add(unit);
    const [, command] = /^\t*Command Line: (.*)$/.exec(line) ?? [];
    if (command !== undefined && !commands.has(unit)) commands.set(unit, wordsOf(command));
  }
  return { jobs, commands };
}

/** Bare, or in double quotes, in which a backslash keeps what follows it. */
function wordsOf(command: string): string[] {
  const words = command.match(/"(?:\\.|[^"\\])*"|[^ ]+/g) ?? [];
  return words.map((word) => (word.startsWith('"') ? word.slice(1, -1).replaceAll(/\\(.)/g, "$1") : word));
}

/** The unit of a volume, as systemd-escape(1) names it. @param name latin1, a character a byte */
export function unitOf(name: string): string {
  const escaped = name.replaceAll(
    /[^0-9A-Za-z:_./]|^\./g,
    (byte) => `\\x${byte.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
  return `systemd-cryptsetup@${escaped.replaceAll("/", "-")}.service`;
}
