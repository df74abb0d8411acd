// @ts-nocheck
import { open } from "node:fs/promises";
import { NightlatchError } from "../../core/errors.ts";
import { refuseAnswer, TPM_MESSAGE_BYTES } from "../../formats/tpm2/command.ts";
import { runProgram } from "../run.ts";
import { noChip, silent, type TpmLine } from "./line.ts";

/**
 * Opens a TPM of the kernel. Nothing that can block is done here: a driver whose chip hangs lets go
 * of nobody, not even of a process that is killed, for as long as minutes, and would hold one of
 * the few threads that files are read on, and the end of this process with it. A child writes the
 * command and reads the answer; what is secret in either is encrypted.
 */
export async function openDevice(path: string, timeoutMs: number, ends: AbortSignal): Promise<TpmLine> {
  const file = await open(path, "r+").catch((error: NodeJS.ErrnoException) => {
    throw noChip(`${path}: ${error.code ?? "unknown"}`);
  });
  return {
    exchange: (command) => exchange({ path, descriptor: file.fd, timeoutMs }, ends, command),
    [Symbol.asyncDispose]: () => file.close(),
  };
}

/** One read and one write each way: a TPM's driver takes a message in one piece. */
const PASS_ON = `dd bs=${TPM_MESSAGE_BYTES} count=1 status=none >&3 && exec dd bs=${TPM_MESSAGE_BYTES} count=1 status=none <&3`;

interface OpenDevice {
  readonly path: string;
  readonly descriptor: number;
  readonly timeoutMs: number;
}

async function exchange(device: OpenDevice, ends: AbortSignal, command: Uint8Array): Promise<Buffer> {
  const { path, descriptor, timeoutMs } = device;
  if (ends.aborted) throw silent(path);
  const held = { descriptor, [Symbol.asyncDispose]: async () => {} };
  const argv = ["/bin/sh", "-c", PASS_ON] as const;
  const limits = { timeoutMs, outputLimitBytes: TPM_MESSAGE_BYTES };
  const run = runProgram({ argv, stdin: command, lock: held, signal: ends, ...limits });
  const { status, stdout, stderr } = await orSilent(run, path, ends);
  if (status !== 0) throw noChip(`${path}: ${stderr.toString("latin1").trim().slice(0, 120)}`);
  if (stdout.length === 0) refuseAnswer("it is empty");
  return stdout;
}

/** A child that hangs in the driver is not waited for: no signal ends it. */
function orSilent<T>(run: Promise<T>, path: string, ends: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const giveUp = () => reject(silent(path));
    ends.addEventListener("abort", giveUp, { once: true });
    run.then(resolve, (error: unknown) => {
      const missing = error instanceof NightlatchError && error.code === "system/missing-program";
      reject(missing ? error : silent(path));
    });
    const clean = () => ends.removeEventListener("abort", giveUp);
    run.then(clean, clean);
  });
}
