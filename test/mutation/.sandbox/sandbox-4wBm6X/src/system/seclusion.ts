// @ts-nocheck
import { libcFunction } from "./native/native.ts";

const SIGUSR1 = 10;
const SIG_IGN = 1;
const PR_SET_DUMPABLE = 4;
const RLIMIT_CORE = 4;
/**
 * core(5) asks for a whole page at least before it writes a file, and the kernel hands nothing to a
 * program for a limit of just 1.
 */
const NO_CORE = 1n;

/**
 * An early signal's request comes to Node's main thread by several ways, the last some turns later.
 */
const LATE_DEBUGGER_MS = 100;

/**
 * Keeps everybody from looking into this process. Every program of ours calls it before anything
 * else, for passphrases and keys pass through all of them: docs/decisions/069-nobody-looks-in.md.
 */
export function secludeProcess(): void {
  refuseDebugger();
  forbidDumps();
  forbidCoreFiles();
}

/** Does the same where a unit has set the limit of core files already, and a boot waits. */
export function secludeService(): void {
  refuseDebugger();
  forbidDumps();
}

/**
 * SIGUSR1 has Node listen on a TCP port where every local user may run code in this process.
 * Started with --disable-sigusr1 it never does; else the signal is ignored from here on, and what
 * one before that has opened is closed, as is what NODE_OPTIONS opened. Programs that it runs get
 * the signals' defaults from Node. A debugger that was asked for among the arguments stays: whoever
 * starts the program may have it.
 */
function refuseDebugger(): void {
  if (process.execArgv.includes("--disable-sigusr1")) return;
  libcFunction("long signal(int, long)")(SIGUSR1, SIG_IGN);
  if (process.execArgv.some((argument) => argument.startsWith("--inspect"))) return;
  closeDebugger();
  setImmediate(closeDebugger);
  setTimeout(closeDebugger, LATE_DEBUGGER_MS).unref();
}

function closeDebugger(): void {
  const { close, url } = process.getBuiltinModule("node:inspector");
  if (url() !== undefined) close();
}

/**
 * No core dump of this process, and no debugger of the same user (prctl(2)). It ends with the next
 * execve(2): programs that it runs are their own.
 */
function forbidDumps(): void {
  libcFunction("int prctl(int, unsigned long, unsigned long, unsigned long, unsigned long)")(
    PR_SET_DUMPABLE,
    0,
    0,
    0,
    0,
  );
}

/**
 * No core file of this process, nor of a program that it runs: cryptsetup holds the same
 * passphrase, and does not forbid its dumps.
 */
function forbidCoreFiles(): void {
  const limit = Buffer.alloc(16); // struct rlimit: soft, hard
  limit.writeBigUInt64LE(NO_CORE, 0);
  limit.writeBigUInt64LE(NO_CORE, 8);
  // Refused where the hard limit is 0 and may not be raised: then there is none of either.
  libcFunction("int setrlimit(int, const void *)")(RLIMIT_CORE, limit);
}
