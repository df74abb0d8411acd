// @ts-nocheck
import { isError, NightlatchError } from "../../../core/errors.ts";
import type { JsonObject } from "../../../formats/json/json.ts";
import { type CommandInput, defineCommand, type ExitStatus, type Options } from "../../command.ts";
import { ADMIN_OPTION, askServer } from "../../operator-client.ts";
import { auditLine } from "./line.ts";

const OPTIONS = {
  lines: { short: "n", value: "N", help: "how many of the last entries", default: "10" },
  follow: { short: "f", help: "go on with what comes, until it is interrupted" },
  machine: { value: "NAME", help: "only what is about this machine" },
  admin: ADMIN_OPTION,
} as const satisfies Options;

type Input = CommandInput<typeof OPTIONS>;

export const command = defineCommand({
  name: "audit tail",
  summary: "which machine got a key when, and what else the server did: the end of its log",
  options: OPTIONS,
  details: `A line for each entry: when (UTC), which machine or invite, and what happened: to which address a volume's key was released, or why
not. Refusals after the first of an hour, and releases of a volume that is asked for all the time, come as one line with their number. With
--json each entry is an object on a line of its own.
The end of the log is shown as it is; that nothing of it was changed is for nightlatch audit verify to say.

  nightlatch audit tail --follow
  nightlatch audit tail -n 100 --machine nas`,
  run,
});

/** Entries that are asked for at once. */
const PAGE = 256;
const MAX_LINES = 100_000;
const POLL_MS = 1_000;

async function run({ options, system, terminal }: Input): Promise<ExitStatus> {
  const lines = parseLines(options.lines);
  const { machine } = options;
  const ask = async (direction: "tail" | "after", position: string, count: number): Promise<Page> => {
    const path = ["audit", direction, position, String(count), ...(machine === undefined ? [] : [machine])];
    const { entries, next, size } = await askServer(system, options.admin, "GET", path);
    return { entries: entries as JsonObject[], next: Number(next), size: Number(size) };
  };
  const tell = (entry: JsonObject) => {
    terminal.line(auditLine(entry));
    terminal.item(entry);
  };
  const { entries, size } = await readLast(ask, lines);
  for (const entry of entries) tell(entry);
  if (!options.follow) return 0;
  let isWaiting = false;
  for (let from = size; !terminal.signal.aborted && terminal.isHeard; ) {
    try {
      const page = await ask("after", String(from), PAGE);
      for (const entry of page.entries) tell(entry);
      from = page.next;
      isWaiting = false;
      if (from < page.size) continue;
    } catch (error) {
      if (!isError(error, "admin/unreachable")) throw error;
      if (!isWaiting) terminal.hint(`${error.message}. Waiting for it.`);
      isWaiting = true;
    }
    await pause(terminal.signal);
  }
  return 0;
}

interface Page {
  readonly entries: readonly JsonObject[];
  /**
   * Where the next page begins: forwards the first number of it, backwards the number after its
   * last.
   */
  readonly next: number;
  /** Entries of the whole log. */
  readonly size: number;
}

/** The last entries, oldest first, and the log's size when the first of them was asked for. */
async function readLast(
  ask: (direction: "tail", position: string, count: number) => Promise<Page>,
  lines: number,
): Promise<{ readonly entries: readonly JsonObject[]; readonly size: number }> {
  const pages: (readonly JsonObject[])[] = [];
  let size: number | null = null;
  let left = lines;
  for (let before = "end"; before !== "0"; ) {
    const page = await ask("tail", before, Math.min(PAGE, Math.max(1, left)));
    size ??= page.size;
    if (left > 0) pages.unshift(page.entries);
    left -= page.entries.length;
    if (left <= 0) break;
    before = String(page.next);
  }
  return { entries: pages.flat(), size: size ?? 0 };
}

function pause(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, POLL_MS);
    function done() {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    }
    signal.addEventListener("abort", done);
    if (signal.aborted) done();
  });
}

/** @throws NightlatchError usage/wrong */
function parseLines(text: string): number {
  const lines = Number(/^\d{1,6}$/.exec(text)?.[0] ?? Number.NaN);
  if (lines <= MAX_LINES) return lines;
  throw new NightlatchError("usage/wrong", `audit tail: --lines ${text} is not a number of entries`, {
    remedy: `Give a number up to ${MAX_LINES}.`,
  });
}
