// @ts-nocheck
import { runProgram } from "../src/system/run.ts";

export interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program of the host; whatever its exit status. */
export async function run(
  argv: readonly [string, ...string[]],
  timeoutMs = 120_000,
  stdin?: Uint8Array,
): Promise<Ended> {
  const exit = await runProgram({
    argv,
    timeoutMs,
    outputLimitBytes: 16 << 20,
    ...(stdin === undefined ? {} : { stdin }),
  });
  return { status: exit.status, stdout: exit.stdout.toString(), stderr: exit.stderr.toString() };
}

/**
 * Runs a program of the host that must succeed; its standard output.
 * @throws Error with the end of what it printed
 */
export async function must(
  argv: readonly [string, ...string[]],
  timeoutMs?: number,
  stdin?: Uint8Array,
): Promise<string> {
  const ended = await run(argv, timeoutMs, stdin);
  if (ended.status !== 0) {
    const tail = `${ended.stdout}${ended.stderr}`.split("\n").slice(-25).join("\n");
    throw new Error(`${argv.slice(0, 4).join(" ")} ended with ${ended.status}:\n${tail}`);
  }
  return ended.stdout;
}
