// @ts-nocheck
import { NightlatchError } from "../core/errors.ts";
import type { System } from "../system/port.ts";

/**
 * Reads from disks of which any may never answer, without one of them keeping the others waiting:
 * docs/decisions/025-disks-that-never-answer.md.
 */
interface VolumeReader extends Pick<System, "readAt"> {
  /** How many reads are under way. */
  pending(): number;
}

/** A disk that answers does so much sooner; one that spins up takes seconds. */
const PATIENCE_MS = 250;
/** Longer than the kernel tries a bad sector, or than anybody waits for a key. */
const PROGRAM_MS = 600_000;

/**
 * Makes a reader for disks of which any may hang. Node reads files on four threads, and a read from
 * a dying disk keeps its thread for ever. So there is one read at a time on them; while that one is
 * stuck, each other read is made by a program, and whoever wants what is being read already waits
 * for the same read.
 * @param onChange told after each change of `pending`
 */
export function makeVolumeReader(
  system: Pick<System, "readAt" | "run" | "sleep" | "monotonicMs">,
  onChange: () => void = () => {},
): VolumeReader {
  const underWay = new Map<string, Promise<Buffer>>();
  let here: { readonly sinceMs: number; readonly over: Promise<void> } | null = null;

  async function read(path: string, offsetBytes: number, lengthBytes: number): Promise<Buffer> {
    const askedMs = system.monotonicMs();
    while (here !== null) {
      const leftMs = Math.min(askedMs, here.sinceMs) + PATIENCE_MS - system.monotonicMs();
      if (leftMs <= 0) return readByProgram(system, path, offsetBytes, lengthBytes);
      const freed = new AbortController();
      await Promise.race([here.over, system.sleep(leftMs, freed.signal)]);
      freed.abort();
    }
    const reading = system.readAt(path, offsetBytes, lengthBytes);
    const free = () => {
      here = null;
    };
    here = { sinceMs: system.monotonicMs(), over: reading.then(free, free) };
    return reading;
  }

  return {
    pending: () => underWay.size,
    readAt: (path, offsetBytes, lengthBytes) => {
      const name = `${offsetBytes} ${lengthBytes} ${path}`;
      const same = underWay.get(name);
      if (same !== undefined) return same;
      const reading = read(path, offsetBytes, lengthBytes);
      underWay.set(name, reading);
      const over = () => {
        underWay.delete(name);
        onChange();
      };
      reading.then(over, over);
      onChange();
      return reading;
    },
  };
}

/**
 * Reads with dd(1) of GNU coreutils. As with System.readAt, a pipe is not waited for: it reads as
 * empty.
 */
async function readByProgram(
  system: Pick<System, "run">,
  path: string,
  offsetBytes: number,
  lengthBytes: number,
): Promise<Buffer> {
  const { status, stdout } = await system.run({
    argv: [
      "dd",
      `if=${path}`,
      "bs=64K",
      `skip=${offsetBytes}`,
      `count=${lengthBytes}`,
      "iflag=skip_bytes,count_bytes,fullblock,nonblock",
      "status=none",
    ],
    timeoutMs: PROGRAM_MS,
    outputLimitBytes: lengthBytes,
  });
  if (status === 0) return stdout;
  throw new NightlatchError("file/io", `${path} could not be read (dd ended with status ${status})`);
}
