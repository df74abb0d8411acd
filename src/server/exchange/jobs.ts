import { POINT_BYTES, SCALAR_BYTES } from "./port.ts";

/** One multiplication as it goes to another thread and comes back. */
interface ExchangeJob {
  /** s, SCALAR_BYTES long. */
  readonly scalar: Buffer;
  /** X, and Y in its place afterwards, POINT_BYTES long. Where there is no Y it begins with 0. */
  readonly point: Buffer;
}

const JOB_BYTES = SCALAR_BYTES + POINT_BYTES;

/** Makes room for so many jobs, in memory that can be handed to another thread without a copy. */
export function makeRoomForJobs(count: number): ArrayBuffer {
  return new ArrayBuffer(count * JOB_BYTES);
}

/** The jobs that lie in such memory: views of it. */
export function jobsIn(memory: ArrayBuffer): ExchangeJob[] {
  const bytes = Buffer.from(memory);
  return Array.from({ length: memory.byteLength / JOB_BYTES }, (_, index) => {
    const at = index * JOB_BYTES;
    return {
      scalar: bytes.subarray(at, at + SCALAR_BYTES),
      point: bytes.subarray(at + SCALAR_BYTES, at + JOB_BYTES),
    };
  });
}
