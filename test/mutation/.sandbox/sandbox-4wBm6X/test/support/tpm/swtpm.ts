/** A software TPM on a socket of its own, for tests. Needs the packages swtpm and tpm2-tools. */
// @ts-nocheck

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** Why no TPM can be run here; false where it can. The value that node:test takes for `skip`. */
export const noSwtpm: string | false =
  spawnSync("swtpm", ["--version"]).status !== 0
    ? "swtpm is not installed"
    : spawnSync("tpm2_pcrread", ["--version"]).status !== 0
      ? "tpm2-tools are not installed"
      : false;

export interface Swtpm extends AsyncDisposable {
  /** For TPM2TOOLS_TCTI. */
  readonly tcti: string;
  readonly socketPath: string;
  /** Of the process that is the chip now. */
  readonly pid: number;
  /** Runs one of tpm2-tools, or clevis, against it. Throws what it printed when it fails. */
  run(argv: readonly [string, ...string[]], input?: string | Uint8Array): Buffer;
  /** Extends a register of the bank sha256, as a measured boot does. */
  extend(register: number): void;
  /** Switches the machine off and on: the registers begin anew, the chip's seeds stay. */
  restart(): Promise<void>;
  /** Takes what programs have left out of the chip's memory, as the kernel's manager would. */
  flush(): void;
}

/** To be ended with `await using`. */
export async function startSwtpm(): Promise<Swtpm> {
  const folder = mkdtempSync(join(tmpdir(), "nightlatch-swtpm-"));
  const socketPath = join(folder, "tpm.sock");
  const tcti = `swtpm:path=${socketPath}`;
  mkdirSync(join(folder, "state"));
  let chip = await start(folder, socketPath);
  const env = { ...process.env, TPM2TOOLS_TCTI: tcti };
  // clevis leaves sessions in a chip that no kernel manages, which holds three.
  const flush = () => {
    for (const kind of ["-t", "-l", "-s"]) spawnSync("tpm2_flushcontext", [kind], { env });
  };
  const run: Swtpm["run"] = ([program, ...args], input = "") => {
    const { status, stdout, stderr } = spawnSync(program, args, { input, env });
    if (program === "clevis") flush();
    if (status !== 0) throw new Error(`${program} ${args.join(" ")} ended with ${status}: ${stderr}`);
    return stdout;
  };
  return {
    tcti,
    socketPath,
    get pid() {
      return chip.pid ?? 0;
    },
    run,
    flush,
    extend: (register) => {
      run(["tpm2_pcrextend", `${register}:sha256=${"5a".repeat(32)}`]);
    },
    restart: async () => {
      await stop(chip);
      chip = await start(folder, socketPath);
    },
    [Symbol.asyncDispose]: async () => {
      await stop(chip);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function start(folder: string, socketPath: string): Promise<ChildProcess> {
  const chip = spawn(
    "swtpm",
    [
      ...["socket", "--tpm2", "--tpmstate", `dir=${join(folder, "state")}`],
      ...["--server", `type=unixio,path=${socketPath}`, "--ctrl", `type=unixio,path=${socketPath}.ctrl`],
      ...["--flags", "not-need-init,startup-clear"],
    ],
    { stdio: "ignore" },
  );
  while (!existsSync(socketPath)) {
    if (chip.exitCode !== null) throw new Error(`swtpm ended with ${chip.exitCode}`);
    await sleep(10);
  }
  return chip;
}

async function stop(chip: ChildProcess): Promise<void> {
  const ended = new Promise((resolve) => chip.once("exit", resolve));
  chip.kill();
  await ended;
}
