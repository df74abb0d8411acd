/**
 * Matches a frame of a stack as V8 writes them, and no other line: a message may have lines of its
 * own.
 */
// @ts-nocheck

const FRAME =
  /^ {4}at ((?:async )?(?:new )?[\w$.<>#[\] ]{0,120}\()?((?:file:\/\/|node:|\/)[\w./@+-]{1,300}:\d{1,7}:\d{1,7})\)?$/;
const FRAME_COUNT = 20;
const CAUSE_COUNT = 5;

/**
 * Describes an error that nobody expected in one line: its kind, its code, and where it came from,
 * e.g. `TypeError ERR_INVALID_ARG_TYPE at src/cli/commands/bind/bind.ts:122:10`. It never repeats
 * the message, which may hold what a peer sent or a person typed.
 */
export function describeDefect(error: unknown): string {
  if (!(error instanceof Error)) return `a thrown ${error === null ? "null" : typeof error}`;
  const { code } = error as { code?: unknown };
  const frames = framesOf(error);
  const place = (frames.find((frame) => !/(?:^|\()node:/.test(frame)) ?? frames[0])?.replace(/^.*\(|\)$/g, "");
  return [
    /^\w{1,60}$/.test(error.name) ? error.name : "Error",
    ...(typeof code === "string" && /^[\w/-]{1,60}$/.test(code) ? [code] : []),
    ...(place === undefined ? [] : ["at", place]),
  ].join(" ");
}

/**
 * Says where an error and its causes came from, a line for each frame, for whoever looks for the
 * defect. It repeats no message either.
 */
export function traceOf(error: unknown): string {
  const lines: string[] = [];
  let next = error;
  for (let depth = 0; depth < CAUSE_COUNT && next instanceof Error; depth++) {
    lines.push(
      `${depth === 0 ? "" : "caused by "}${describeDefect(next)}`,
      ...framesOf(next).map((frame) => `    at ${frame}`),
    );
    next = next.cause;
  }
  return lines.join("\n");
}

/** The innermost first, with paths from the program's own folder on. */
function framesOf({ stack, name, message }: Error): readonly string[] {
  const text = String(stack);
  const head = `${name}: ${message}\n`;
  const lines = (text.startsWith(head) ? text.slice(head.length) : text).split("\n", 200);
  return lines
    .filter((line) => FRAME.test(line))
    .slice(0, FRAME_COUNT)
    .map((line) =>
      line.slice("    at ".length).replace(/(?:file:\/\/)?\/[\w./@+-]*\/(?=(?:src|lib|test|node_modules)\/)/, ""),
    );
}
