/** systemd's own plan of a boot with other files in /etc, by its test mode: nothing is started. */
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
  readonly crypttab: string;
  readonly fstab: string;
  /** Units that a person enabled. */
  readonly enabled?: readonly string[];
}

/** Names of the units that have a job in the boot to multi-user.target. @throws Error where systemd makes no plan */
export function planBoot({ crypttab, fstab, enabled = [] }: BootFiles): ReadonlySet<string> {
  const folder = mkdtempSync(join(tmpdir(), "nightlatch-plan-"));
  try {
    chmodSync(folder, 0o755);
    for (const name of ["upper", "work"]) mkdirSync(join(folder, name));
    mkdirSync(join(folder, "run"));
    chmodSync(join(folder, "run"), 0o777);
    writeFileSync(join(folder, "crypttab"), crypttab);
    writeFileSync(join(folder, "fstab"), fstab);
    const wants = enabled.map(
      (unit) => `ln -sf /lib/systemd/system/${unit} /etc/systemd/system/multi-user.target.wants/`,
    );
    const script = [
      "set -e",
      `mount -t overlay overlay -o lowerdir=/etc,upperdir=${folder}/upper,workdir=${folder}/work /etc`,
      `cat ${folder}/crypttab >/etc/crypttab; cat ${folder}/fstab >/etc/fstab; chmod 644 /etc/crypttab /etc/fstab`,
      "mkdir -p /etc/systemd/system/multi-user.target.wants",
      ...wants,
      // As nobody: a system manager in its test mode reads the units and runs the generators, and changes nothing.
      `cd / && HOME=/ XDG_RUNTIME_DIR=${folder}/run exec timeout 120 setpriv --reuid 65534 --regid 65534 --clear-groups ${SYSTEMD} ` +
        "--test --system --unit=multi-user.target --log-level=err --log-target=console --show-status=false",
    ];
    const { status, stdout, stderr } = spawnSync("unshare", ["--mount", "bash", "-c", script.join("\n")], {
      encoding: "utf8",
      env: { ...process.env, LC_ALL: "C" }, // elsewhere newer ones write an arrow for `->`
      maxBuffer: 256 << 20,
    });
    if (status !== 0) throw new Error(`systemd made no plan (${status}): ${stderr.slice(0, 2000)}`);
    const jobs = jobsOf(stdout);
    if (jobs.size === 0) throw new Error("systemd's plan is written in a way that is not known here");
    return jobs;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** `-> Unit NAME:` and, further in, `-> Job ID:` where it has one. */
function jobsOf(dump: string): ReadonlySet<string> {
  const jobs = new Set<string>();
  let unit: string | undefined;
  for (const line of dump.split("\n")) {
    unit = /^\t-> Unit (\S+):$/.exec(line)?.[1] ?? unit;
    if (unit !== undefined && /^\t\t-> Job \d+/.test(line)) jobs.add(unit);
  }
  return jobs;
}
