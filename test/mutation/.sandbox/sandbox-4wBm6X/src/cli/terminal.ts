// @ts-nocheck
import { closeSync, openSync, writeSync } from "node:fs";
import type { ReadStream, WriteStream } from "node:tty";
import { NightlatchError } from "../core/errors.ts";
import { Secret } from "../core/secret.ts";
import type { Screen, Terminal } from "./command.ts";

/** The real terminal: stdout for results, stderr for hints, /dev/tty for secrets. */
export function openTerminal(json: boolean, signal: AbortSignal): Terminal {
  let isTold = false;
  return {
    json,
    // Node's standard streams take milliseconds to set up. Only a command that uses them pays for
    // that: a boot may wait for this process.
    get isInteractive() {
      return process.stdin.isTTY === true;
    },
    signal,
    line: (text) => {
      if (!json) writeToStdout(`${text}\n`);
    },
    result: (value) => {
      if (json && !isTold) writeToStdout(`${JSON.stringify(value)}\n`);
      // A failure after the result is told to people alone: a program reads one object.
      isTold = true;
    },
    item: (value) => {
      if (json) writeToStdout(`${JSON.stringify(value)}\n`);
    },
    get isHeard() {
      return !hasReaderGone;
    },
    hint: (text) => writeToStderr(`${text}\n`),
    askSecret: (prompt) => askOnTty(prompt, signal),
    confirm: (question) => confirmOnStdin(question, signal),
    readInput: readAllInput,
    get hasScreen() {
      return canOpenTty();
    },
    showOnce: (compose) => showOnTty(compose, signal),
    print: printToStdout,
  };
}

// Without a listener Node ends the process where a write fails. A reader that has gone (the head of
// `bind … | head -1`, a journal that is restarted) must neither stop a change to a header half-way
// nor take the agent from other volumes. What is said is lost, the work goes on, and the exit
// status tells of the work.

let isStdoutHeard = false;
let hasReaderGone = false;

/**
 * A result that cannot be written, but for a reader that has gone, is a failure: a full disk, say.
 */
export function writeToStdout(text: string): void {
  if (!isStdoutHeard) process.stdout.on("error", onStdoutError);
  isStdoutHeard = true;
  process.stdout.write(text);
}

function onStdoutError({ code }: NodeJS.ErrnoException): void {
  if (code === "EPIPE") {
    hasReaderGone = true;
    return;
  }
  writeToStderr(`nightlatch: standard output could not be written (${code ?? "unknown"})\n`);
  process.once("exit", () => {
    if (process.exitCode === 0 || process.exitCode === undefined) process.exitCode = 1;
  });
}

let isStderrHeard = false;

function writeToStderr(text: string): void {
  try {
    writeSync(2, text);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EAGAIN") return;
    hearStderr().write(text); // a pipe that is full and does not block: Node's stream waits for it
  }
}

function hearStderr(): NodeJS.WriteStream {
  if (!isStderrHeard) process.stderr.on("error", () => {});
  isStderrHeard = true;
  return process.stderr;
}

async function confirmOnStdin(question: string, signal: AbortSignal): Promise<boolean> {
  if (!process.stdin.isTTY) return true;
  const { createInterface } = await import("node:readline/promises");
  const reader = createInterface({ input: process.stdin, output: hearStderr() });
  try {
    return /^y(es)?$/i.test((await reader.question(`${question} [y/N] `, { signal })).trim());
  } catch {
    return false; // end of input, or a signal
  } finally {
    reader.close();
  }
}

async function readAllInput(limitBytes: number): Promise<Secret> {
  const chunks: Buffer[] = [];
  let lengthBytes = 0;
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    lengthBytes += chunk.length;
    if (lengthBytes > limitBytes)
      throw new NightlatchError("file/too-large", `stdin holds more than ${limitBytes} bytes`);
  }
  const whole = Secret.take(Buffer.concat(chunks));
  for (const chunk of chunks) chunk.fill(0);
  return whole;
}

async function printToStdout(bytes: Uint8Array): Promise<void> {
  const failure = await new Promise<NodeJS.ErrnoException | null | undefined>((done) => {
    process.stdout.once("error", done);
    process.stdout.write(bytes, done);
  });
  if (failure == null) return;
  throw new NightlatchError("file/io", `standard output could not be written (${failure.code ?? "unknown"})`, {
    meaning: "Nothing was changed.",
  });
}

function canOpenTty(): boolean {
  try {
    closeSync(openSync("/dev/tty", "r+"));
    return true;
  } catch {
    return false;
  }
}

/** The screen beside the usual one, which leaves nothing in what can be scrolled back to. */
const ENTER_SCREEN = "\x1b[?1049h\x1b[2J\x1b[H";
const LEAVE_SCREEN = "\x1b[2J\x1b[H\x1b[?1049l";
/** The kernel's console may have one screen only: that is wiped with its memory. */
const LEAVE_CONSOLE = "\x1b[2J\x1b[3J\x1b[H";

async function showOnTty(compose: (screen: Screen) => Buffer, signal: AbortSignal): Promise<void> {
  const tty = await openTty();
  const { WriteStream } = await import("node:tty");
  const screen = new WriteStream(openSync("/dev/tty", "w"));
  const term = process.env["TERM"] ?? "dumb";
  const locale = process.env["LC_ALL"] || process.env["LC_CTYPE"] || process.env["LANG"] || "";
  const isDumb = term === "dumb" || term === "";
  const { columns, rows } = screen;
  const bytes = compose({ columns, rows, drawsBlocks: !isDumb && /utf-?8/i.test(locale) });
  tty.setRawMode(true);
  try {
    if (!isDumb) await writeWhole(screen, ENTER_SCREEN);
    await writeWhole(screen, bytes);
    const line = await readLine(tty, signal);
    line.wipe();
  } finally {
    bytes.fill(0);
    await writeWhole(screen, isDumb ? "\n" : term.startsWith("linux") ? LEAVE_CONSOLE : LEAVE_SCREEN);
    tty.setRawMode(false);
    tty.destroy();
    screen.destroy();
  }
}

function writeWhole(stream: WriteStream, bytes: string | Buffer): Promise<void> {
  return new Promise((done) => stream.write(bytes, () => done()));
}

/** Raw mode, so that nothing echoes and no line of it lands in a string. */
async function askOnTty(prompt: string, signal: AbortSignal): Promise<Secret> {
  const tty = await openTty();
  tty.setRawMode(true);
  try {
    writeToStderr(prompt); // once nothing echoes any more
    return await readLine(tty, signal);
  } finally {
    tty.setRawMode(false);
    tty.destroy();
    writeToStderr("\n");
  }
}

async function openTty(): Promise<ReadStream> {
  const { ReadStream } = await import("node:tty");
  try {
    return new ReadStream(openSync("/dev/tty", "r+"));
  } catch {
    throw new NightlatchError("usage/no-terminal", "a passphrase is needed and there is no terminal to ask on", {
      meaning: "Nothing was changed.",
      remedy: "Give it with --key-file FILE, or on standard input with --key-file -.",
    });
  }
}

const ENTER = new Set([0x0a, 0x0d]);
const CONTROL_C = 0x03;
const CONTROL_U = 0x15;
const BACKSPACE = new Set([0x08, 0x7f]);
const MAX_PASSPHRASE_BYTES = 512; // cryptsetup's own limit for an interactive passphrase

function readLine(tty: ReadStream, signal: AbortSignal): Promise<Secret> {
  const typed = Buffer.alloc(MAX_PASSPHRASE_BYTES);
  let lengthBytes = 0;
  return new Promise((resolve, reject) => {
    const give = (error: NightlatchError | null) => {
      tty.removeAllListeners("data");
      signal.removeEventListener("abort", onAbort);
      if (error === null) resolve(Secret.copy(typed.subarray(0, lengthBytes)));
      else reject(error);
      typed.fill(0);
    };
    const cancelled = () => new NightlatchError("usage/cancelled", "cancelled", { meaning: "Nothing was changed." });
    const onAbort = () => give(cancelled());
    signal.addEventListener("abort", onAbort, { once: true });
    tty.on("data", (chunk: Buffer) => {
      for (const byte of chunk) {
        if (byte === CONTROL_C) return give(cancelled());
        if (ENTER.has(byte)) return give(null);
        if (byte === CONTROL_U) lengthBytes = 0;
        else if (BACKSPACE.has(byte)) lengthBytes = previousCharacter(typed, lengthBytes);
        else if (lengthBytes < typed.length) typed[lengthBytes++] = byte;
      }
      chunk.fill(0);
    });
  });
}

/** Steps back over one UTF-8 character. */
function previousCharacter(bytes: Buffer, end: number): number {
  let at = Math.max(0, end - 1);
  while (at > 0 && ((bytes[at] ?? 0) & 0xc0) === 0x80) at--;
  return at;
}
