import { type ErrorCode, NightlatchError } from "../core/errors.ts";

const CODES: Readonly<Record<string, ErrorCode>> = {
  ENOENT: "file/missing",
  ENOTDIR: "file/missing",
  EACCES: "file/denied",
  EPERM: "file/denied",
  EROFS: "file/denied",
  ENOSPC: "file/full",
  EDQUOT: "file/full",
};

const PHRASES: Partial<Record<ErrorCode, string>> = {
  "file/missing": "does not exist",
  "file/denied": "may not be opened",
  "file/full": "could not be written: no space is left",
};

/** Makes one of our errors of what node:fs throws. One of ours stays as it is. */
export function translate(error: unknown, path: string): NightlatchError {
  if (error instanceof NightlatchError) return error;
  // A buffer that there is no memory for is a RangeError without a code.
  const errno = (error as NodeJS.ErrnoException).code ?? (error instanceof RangeError ? "out of memory" : "unknown");
  const code = CODES[errno] ?? "file/io";
  return new NightlatchError(code, `${path} ${PHRASES[code] ?? "could not be read or written"} (${errno})`);
}
