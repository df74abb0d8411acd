/** What something costs: its time by the wall, its processor time, and that of the chip. */
import { readFileSync } from "node:fs";
import { libcFunction } from "../../src/system/native/native.ts";

export interface Cost {
  readonly wallMs: number;
  readonly cpuMs: number;
  /** The processor time of the software TPM, which is no part of `cpuMs`. */
  readonly chipMs: number;
}

const RUSAGE_CHILDREN = -1;
const CPUCLOCK_SCHED = 2;
/** Of /proc/PID/stat, USER_HZ. */
const TICK_MS = 10;

/** The processor time of this process's children, with theirs, once they have been waited for. */
export function childrensCpuMs(): number {
  const usage = Buffer.alloc(144);
  if (libcFunction("int getrusage(int, void *)")(RUSAGE_CHILDREN, usage) !== 0) throw new Error("getrusage");
  return timeAt(usage, 0, 1e3) + timeAt(usage, 16, 1e3);
}

/**
 * The processor time of another process until now, with all of its threads, by its own clock
 * (clock_getcpuclockid(3)); and of its children that have ended, to ten milliseconds.
 */
export function processCpuMs(pid: number): number {
  const time = Buffer.alloc(16);
  const clock = (~pid << 3) | CPUCLOCK_SCHED;
  if (libcFunction("int clock_gettime(int, void *)")(clock, time) !== 0) throw new Error("clock_gettime");
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  const [user = 0, system = 0] = stat
    .slice(stat.lastIndexOf(")") + 2)
    .split(" ")
    .slice(13, 15)
    .map(Number);
  return timeAt(time, 0, 1e6) + (user + system) * TICK_MS;
}

/** Seconds and a part of one, in milliseconds. @param perMs parts of a second in a millisecond */
function timeAt(bytes: Buffer, offset: number, perMs: number): number {
  return Number(bytes.readBigInt64LE(offset)) * 1e3 + Number(bytes.readBigInt64LE(offset + 8)) / perMs;
}

/** Measures one turn. @param cpuMs of whom it is about, so far */
export async function costOf(turn: () => Promise<void>, cpuMs: () => number, chipPid: number): Promise<Cost> {
  const before = [performance.now(), cpuMs(), processCpuMs(chipPid)] as const;
  await turn();
  const after = [performance.now(), cpuMs(), processCpuMs(chipPid)] as const;
  return { wallMs: after[0] - before[0], cpuMs: after[1] - before[1], chipMs: after[2] - before[2] };
}
