// @ts-nocheck
import { type ErrorCode, NightlatchError } from "../../core/errors.ts";
import type { Exit, Lock, RunRequest, System } from "../../system/port.ts";

/** The volume that a command works on. */
export interface Volume {
  /** A block device or an image file. */
  readonly device: string;
  /**
   * Held by the programs that are run too: a killed run's cryptsetup keeps the next run waiting.
   */
  readonly lock?: Lock;
}

/** A KDF can be set to take a minute, and a small machine to take several. */
const TIMEOUT_MS = 5 * 60_000;

/**
 * Runs cryptsetup. Key material goes in over stdin and nowhere else.
 * @throws NightlatchError luks/wrong-passphrase, luks/refused, luks/no-memory, luks/no-device,
 *   luks/in-use, luks/tool-died, system/*
 */
export async function runCryptsetup(
  system: Pick<System, "run">,
  volume: Volume,
  args: readonly string[],
  stdin?: Uint8Array,
  options: Pick<RunRequest, "opensStdin"> & { readonly timeoutMs?: number } = {},
): Promise<Buffer> {
  const command: RunRequest = {
    argv: ["cryptsetup", ...args],
    timeoutMs: TIMEOUT_MS,
    ...options,
    ...(stdin === undefined ? {} : { stdin }),
    ...(volume.lock === undefined ? {} : { lock: volume.lock }),
  };
  const exit = await system.run(command);
  if (exit.status !== 0) throw failureOf(exit, volume.device);
  return exit.stdout;
}

/** cryptsetup(8), "RETURN CODES". */
const CAUSES: Readonly<Record<number, readonly [code: ErrorCode, what: string]>> = {
  1: ["luks/refused", "cryptsetup refused"],
  2: ["luks/wrong-passphrase", "the passphrase opens no keyslot"],
  3: ["luks/no-memory", "cryptsetup ran out of memory, which an argon2 keyslot needs much of"],
  4: ["luks/no-device", "cryptsetup cannot use the device"],
  5: ["luks/in-use", "the device or the name is in use"],
};

function failureOf(exit: Exit, device: string): NightlatchError {
  const said = firstLine(exit.stderr);
  if (exit.status === null) {
    return new NightlatchError("luks/tool-died", `${device}: cryptsetup was ended by ${exit.signal ?? "a signal"}`);
  }
  const [code, what] = CAUSES[exit.status] ?? ["luks/refused", `cryptsetup ended with status ${exit.status}`];
  const showsCause = said !== "" && code !== "luks/wrong-passphrase";
  return new NightlatchError(code, `${device}: ${what}${showsCause ? `: ${said}` : ""}`);
}

/**
 * Gives the first line of what a program printed, for a person. cryptsetup never prints key
 * material.
 */
export function firstLine(output: Buffer): string {
  const line = output.toString("latin1").split("\n", 1)[0] ?? "";
  return line
    .replace(/[^ -~]/g, "?")
    .slice(0, 200)
    .trim()
    .replace(/\.$/, "");
}
