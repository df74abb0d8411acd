import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

/**
 * Ticks a second that /proc counts in (sysconf _SC_CLK_TCK), the same on every Linux that Debian
 * builds.
 */
const TICKS = Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" }));

/**
 * CPU seconds that a process and its children that have ended have used so far, user and system:
 * proc_pid_stat(5), fields 14–17.
 */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const ticks = [11, 12, 13, 14].reduce((sum, index) => sum + Number(fields[index]), 0);
  return ticks / TICKS;
}
