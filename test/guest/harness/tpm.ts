/**
 * A TPM of software for a machine: the same folder is the same chip, over power cuts too, and a
 * new folder another machine's. The guest's kernel drives it as it drives one of hardware.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";

export interface MachineTpm extends AsyncDisposable {
  /** For QEMU, which sends it what the machine's power does. */
  readonly socketPath: string;
}

/**
 * Starts the chip of a machine that is being switched on. QEMU has to be gone before it is ended.
 * @param folder of its seeds; an empty one makes a new chip
 * @throws Error where swtpm does not start
 */
export async function startMachineTpm(folder: string, socketPath: string): Promise<MachineTpm> {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const argv = ["socket", "--tpm2", "--tpmstate", `dir=${folder}`, "--ctrl", `type=unixio,path=${socketPath}`];
  // Should this process be killed, the chip goes with it.
  const chip = spawn("setpriv", ["--pdeathsig", "KILL", "swtpm", ...argv], { stdio: ["ignore", "ignore", "inherit"] });
  while (!existsSync(socketPath)) {
    if (chip.exitCode !== null) throw new Error(`swtpm ended with ${chip.exitCode}`);
    await pause(20);
  }
  return { socketPath, [Symbol.asyncDispose]: () => stop(chip) };
}

/** It writes its state down when it is told to end, and may have ended with QEMU. */
async function stop(chip: ChildProcess): Promise<void> {
  if (chip.exitCode !== null || chip.signalCode !== null) return;
  const ended = once(chip, "exit");
  chip.kill("SIGTERM");
  await ended;
}

/** QEMU's arguments for it: the command response buffer that most machines of today have. */
export function tpmArguments({ socketPath }: Pick<MachineTpm, "socketPath">): string[] {
  return [
    ...["-chardev", `socket,id=tpm,path=${socketPath}`],
    ...["-tpmdev", "emulator,id=tpm0,chardev=tpm", "-device", "tpm-crb,tpmdev=tpm0"],
  ];
}
